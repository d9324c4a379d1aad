// The cluster clients of Node.js: `node cluster.cjs CLIENT PROTOCOL PORT SERVER`; NODE_PATH names the folder of their
// packages.

const assert = require("node:assert/strict");

const [name, protocol, port] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const NODES = process.argv[5] === "kv" ? 3 : 1;
const KEYS = [...Array(200).keys()].map((number) => `key-${number}`);

async function ioredis() {
    const { Cluster } = require("ioredis");
    const client = new Cluster([{ host: "127.0.0.1", port }], { redisOptions: { protocol } });
    return {
        set: (key, value) => client.set(key, value),
        get: (key) => client.get(key),
        nodes: async () => client.nodes("master").length,
        pipeline: async (commands) => {
            // All keys of one pipeline must be at one node.
            const replies = [];
            for (const [first, second] of commands) {
                const pipeline = client.pipeline().call(...first).call(...second);
                replies.push(...(await pipeline.exec()).map(([error, reply]) => error ?? reply));
            }
            return replies;
        },
        fail: () => client.incr("text"),
        close: () => client.quit(),
    };
}

async function nodeRedis() {
    const { createCluster } = require("redis");
    const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }], RESP: protocol });
    await client.connect();
    return {
        set: (key, value) => client.set(key, value),
        get: (key) => client.get(key),
        nodes: async () => client.masters.length,
        pipeline: (commands) =>
            Promise.all(commands.flat().map((words) => client.sendCommand(words[1], false, words))),
        fail: () => client.incr("text"),
        close: () => client.close(),
    };
}

async function main() {
    const make = { "ioredis cluster": ioredis, "node-redis cluster": nodeRedis }[name];
    const packageName = { "ioredis cluster": "ioredis", "node-redis cluster": "redis" }[name];
    console.log("version", require(`${packageName}/package.json`).version);
    const client = await make();
    const checks = {
        values: async () => {
            for (const key of KEYS) assert.equal(await client.set(key, key.toUpperCase()), "OK");
            assert.deepEqual(await Promise.all(KEYS.map(client.get)), KEYS.map((key) => key.toUpperCase()));
            assert.equal(await client.nodes(), NODES);
        },
        pipeline: async () => {
            const commands = KEYS.map((key) => [["SET", key, "1"], ["INCR", key]]);
            assert.deepEqual(await client.pipeline(commands), KEYS.flatMap(() => ["OK", 2]));
        },
        errors: async () => {
            await client.set("text", "x");
            await assert.rejects(client.fail, /not an integer/);
        },
    };
    for (const [check, steps] of Object.entries(checks)) {
        try {
            await steps();
            console.log("ok", check);
        } catch (error) {
            console.log(`failed ${check}: ${String(error.stack).replaceAll("\n", " ")}`);
        }
    }
    await client.close();
}

main();
