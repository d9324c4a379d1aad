// Checks that the stream methods of ioredis work as with Redis: `node streams.cjs PORT`; NODE_PATH names the folder of the packages.

const assert = require("node:assert/strict");

const port = Number(process.argv[2]);

async function main() {
    for (const packageName of ["ioredis-5", "ioredis"]) {
        const Redis = require(packageName);
        const client = new Redis({ port });
        await events(client);
        await groups(client);
        await client.quit();
        console.log(`the methods of ${packageName}: ok`);
    }
}

async function events(client) {
    assert.equal(await client.del("s", "later"), 0);
    assert.equal(await client.xadd("s", "1-1", "n", "1"), "1-1");
    const id = await client.xadd("s", "MAXLEN", "~", 1000, "*", "n", "2", "text", "é");
    assert.match(id, /^\d{13}-\d+$/);
    assert.equal(await client.xadd("none", "NOMKSTREAM", "*", "n", "1"), null);
    assert.equal(await client.xlen("s"), 2);
    assert.deepEqual(await client.xrange("s", "-", "+"), [["1-1", ["n", "1"]], [id, ["n", "2", "text", "é"]]]);
    assert.deepEqual(await client.xrevrange("s", "+", "-", "COUNT", 1), [[id, ["n", "2", "text", "é"]]]);
    assert.deepEqual(await client.xread("COUNT", 1, "STREAMS", "s", "0"), [["s", [["1-1", ["n", "1"]]]]]);
    assert.equal(await client.xread("BLOCK", 20, "STREAMS", "s", "$"), null);
    const other = client.duplicate();
    const later = other.xread("BLOCK", 0, "STREAMS", "s", "later", "$", "0");
    await client.xadd("later", "5-5", "n", "3");
    assert.deepEqual(await later, [["later", [["5-5", ["n", "3"]]]]]);
    await other.quit();
    assert.equal(await client.xdel("s", "1-1", "2-2"), 1);
    assert.equal(await client.xtrim("s", "MAXLEN", 0), 1);
    const about = await client.xinfo("STREAM", "s");
    assert.deepEqual(about.slice(0, 2), ["length", 0]);
    await assert.rejects(client.xadd("later", "5-5", "n", "4"), /equal or smaller than the target stream top item/);
    const replies = await client.multi().xadd("s", "*", "n", "5").xlen("s").exec();
    assert.equal(replies[1][1], 1);
}

async function groups(client) {
    assert.equal(await client.xgroup("CREATE", "s", "g", "0"), "OK");
    await assert.rejects(client.xgroup("CREATE", "s", "g", "0"), /^ReplyError: BUSYGROUP/);
    const [[, [[id]]]] = await client.xreadgroup("GROUP", "g", "one", "COUNT", 1, "STREAMS", "s", ">");
    assert.equal(await client.xreadgroup("GROUP", "g", "one", "STREAMS", "s", ">"), null);
    assert.deepEqual(await client.xpending("s", "g"), [1, id, id, [["one", "1"]]]);
    const [[pending, consumer, , deliveries]] = await client.xpending("s", "g", "-", "+", 10);
    assert.deepEqual([pending, consumer, deliveries], [id, "one", 1]);
    assert.deepEqual(await client.xclaim("s", "g", "two", 0, id, "JUSTID"), [id]);
    assert.deepEqual((await client.xautoclaim("s", "g", "one", 0, "0", "JUSTID")).slice(0, 2), ["0-0", [id]]);
    assert.equal(await client.xack("s", "g", id), 1);
    assert.equal(await client.xgroup("DESTROY", "s", "g"), 1);
    assert.equal(await client.del("s", "later"), 2);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
