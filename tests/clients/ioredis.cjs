// ioredis: `node ioredis.cjs PORT` says "done", or what went wrong.

const assert = require("node:assert/strict");
const Redis = require("ioredis");

async function main() {
    const client = new Redis({
        port: Number(process.argv[2]),
        db: 4,
        connectionName: "me",
        retryStrategy: null,
    });
    client.on("error", (error) => { throw error; });
    await client.flushall();
    assert.equal(await client.set("k", "v", "EX", 100), "OK");
    assert.equal(await client.get("k"), "v");
    assert.equal(await client.client("GETNAME"), "me");
    await assert.rejects(client.call("NOPE"), /unknown command/);

    const pipeline = client.pipeline();
    for (let number = 0; number < 5000; number++) pipeline.set(`key-${number}`, number).get(`key-${number}`);
    const replies = await pipeline.exec();
    replies.forEach(([error, reply], index) => {
        assert.equal(error, null);
        assert.equal(reply, index % 2 === 0 ? "OK" : String((index - 1) / 2));
    });

    const large = Buffer.alloc(8 << 20, "\r\n$5");
    await client.set("large", large);
    assert.ok(large.equals(await client.getBuffer("large")));
    await client.quit();
    console.log("done");
}

main();
