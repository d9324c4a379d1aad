// The Sentinel clients of Node.js, while another server becomes the master: `node sentinel.cjs CLIENT PROTOCOL PORT SERVER`;
// NODE_PATH names the folder of their packages.

const assert = require("node:assert/strict");
const net = require("node:net");
const { setTimeout: sleep } = require("node:timers/promises");

const [name, protocol, port] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const PATIENCE = 60_000;
const COUNTERS = 4;
// How often each counter counts before the next switch.
const COUNTS = 200;

function ioredis(packageName) {
    const Redis = require(packageName);
    const client = new Redis({
        sentinels: [{ host: "127.0.0.1", port }],
        name: "counters",
        protocol,
        sentinelRetryStrategy: () => 10,
        retryStrategy: () => 10,
    });
    client.on("error", () => {});
    return { count: () => client.incr("n"), close: () => client.disconnect() };
}

async function nodeRedis() {
    const { createSentinel } = require("redis");
    const client = createSentinel({
        name: "counters",
        sentinelRootNodes: [{ host: "127.0.0.1", port }],
        RESP: protocol,
        nodeClientOptions: { RESP: protocol },
        sentinelClientOptions: { RESP: protocol },
    });
    client.on("error", () => {});
    await client.connect();
    return { count: () => client.incr("n"), close: () => client.close() };
}

/** Sends a request on a new connection. Returns the reply, which has to come at once. */
function ask(port, request) {
    return new Promise((resolve, reject) => {
        const connection = net.connect(port, "127.0.0.1", () => connection.write(`${request}\r\n`));
        connection.once("data", (data) => {
            connection.destroy();
            resolve(data.toString());
        });
        connection.once("error", reject);
    });
}

/** Returns the ports of the master and of the replica. */
async function servers() {
    const master = await ask(port, "SENTINEL GET-MASTER-ADDR-BY-NAME counters");
    const replica = await ask(port, "SENTINEL REPLICAS counters");
    return [master.match(/(\d+)\r\n$/), replica.match(/\r\nport\r\n\$\d+\r\n(\d+)/)].map(([, port]) => Number(port));
}

/** Makes a server the master: the old master ends its work first. */
async function follow(master) {
    for (const server of await servers()) assert.equal(await ask(server, `FOLLOW 127.0.0.1 ${master}`), "+OK\r\n");
}

class Counter {
    counted = 0;
    failed = 0;
    isOver = false;

    constructor(client) {
        this.end = this.run(client);
    }

    async run(client) {
        while (!this.isOver) {
            try {
                await client.count();
                this.counted += 1;
            } catch (error) {
                this.failed += 1;
                await sleep(10);
            }
        }
    }
}

async function go_on(counters) {
    const wanted = counters.map((counter) => counter.counted + COUNTS);
    const deadline = Date.now() + PATIENCE;
    while (counters.some((counter, index) => counter.counted < wanted[index])) {
        assert(Date.now() < deadline, "the client does not find the master");
        await sleep(10);
    }
}

async function switchMasters(client) {
    const counters = [...Array(COUNTERS)].map(() => new Counter(client));
    await go_on(counters);
    const [first, second] = await servers();
    for (const master of [second, first, second]) {
        await follow(master);
        await go_on(counters);
    }
    for (const counter of counters) counter.isOver = true;
    await Promise.all(counters.map((counter) => counter.end));
    let total = 0;
    for (const server of await servers()) {
        await follow(server);
        total += Number((await ask(server, "GET n")).split("\r\n")[0].slice(1));
    }
    const sum = (numbers) => numbers.reduce((one, next) => one + next, 0);
    const counted = sum(counters.map((counter) => counter.counted));
    const failed = sum(counters.map((counter) => counter.failed));
    const text = `${total} are counted, ${counted} acknowledged, ${failed} failed`;
    assert(counted <= total && total <= counted + failed, text);
}

async function main() {
    const packageName = { "ioredis 5 sentinel": "ioredis-5", "ioredis sentinel": "ioredis", "node-redis sentinel": "redis" }[name];
    console.log("version", require(`${packageName}/package.json`).version);
    const client = packageName === "redis" ? await nodeRedis() : ioredis(packageName);
    try {
        await switchMasters(client);
        console.log("ok switch");
    } catch (error) {
        console.log(`failed switch: ${String(error.stack).replaceAll("\n", " ")}`);
    }
    await client.close();
    process.exit();
}

main();
