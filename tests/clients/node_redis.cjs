// node-redis, in both protocols: `node node_redis.cjs PORT` says "done", or what went wrong.

const assert = require("node:assert/strict");
const { createClient } = require("redis");

const port = Number(process.argv[2]);

async function use(options) {
    const client = createClient({ socket: { port, reconnectStrategy: false }, ...options });
    client.on("error", (error) => { throw error; });
    await client.connect();
    await client.flushAll();
    assert.equal(await client.set("k", "v", { EX: 100 }), "OK");
    assert.equal(await client.get("k"), "v");
    assert.equal(await client.ttl("k"), 100);
    assert.equal(await client.get("missing"), null);
    assert.equal(await client.clientGetName(), "me");
    await assert.rejects(client.sendCommand(["NOPE"]), /unknown command/);

    const numbers = Array.from({ length: 5000 }, (_, number) => String(number));
    await Promise.all(numbers.map((number) => client.set(number, number)));
    assert.deepEqual(await client.mGet(numbers), numbers);

    const large = "x".repeat(8 << 20);
    await client.set("large", large);
    assert.equal(await client.get("large"), large);

    let found = 0;
    for await (const keys of client.scanIterator({ COUNT: 100 })) found += keys.length;
    assert.ok(found >= 5002, `${found} keys`);
    await client.close();
}

async function main() {
    await use({ name: "me", database: 2, RESP: 2 });
    await use({ name: "me", database: 2, RESP: 3 });
    console.log("done");
}

main();
