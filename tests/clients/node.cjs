// The Node.js clients: `node node.cjs CLIENT PROTOCOL PORT SERVER`; NODE_PATH names the folder of their packages.

const assert = require("node:assert/strict");
const { createInterface } = require("node:readline/promises");

const EVERY_BYTE = Buffer.concat([Buffer.from([...Array(256).keys()]), Buffer.from("\r\n$5\r\n*1\r\n")]);
const [name, server] = [process.argv[2], process.argv[5]];
const [protocol, port] = [Number(process.argv[3]), Number(process.argv[4])];

// Wraps the packages with the methods that the checks use.
class Ioredis {
    constructor(packageName, options = {}) {
        const Redis = require(packageName);
        this.packageName = packageName;
        this.Error = Redis.ReplyError;
        this.client = new Redis({ port, protocol, ...options });
        this.client.on("error", (error) => console.log(`on error: ${error}`));
    }
    static named = (packageName) => new Ioredis(packageName, { connectionName: "tester", db: 3 });
    connect = async () => {};
    close = () => this.client.quit();
    set = (key, value) => this.client.set(key, value);
    get = (key) => this.client.get(key);
    getBuffer = (key) => this.client.getBuffer(key);
    call = (...words) => this.client.call(...words);
    // Subscribes to a channel and a pattern on a new connection. Calls `receive` for each message.
    listen = async (channel, pattern, receive) => {
        const listener = this.client.duplicate();
        listener.on("message", (channel, message) => receive(channel, message));
        listener.on("pmessage", (_, channel, message) => receive(channel, message));
        await listener.subscribe(channel);
        await listener.psubscribe(pattern);
        return async () => {
            await listener.unsubscribe(channel);
            await listener.punsubscribe(pattern);
            await listener.quit();
        };
    };
    // The result is null if a watched key has changed.
    transaction = async (commands) => {
        const transaction = this.client.multi();
        for (const words of commands) transaction.call(...words);
        return (await transaction.exec())?.map(([error, reply]) => error ?? reply);
    };
    another = async () => new Ioredis(this.packageName);
    pipeline = async (commands) => {
        const pipeline = this.client.pipeline();
        for (const words of commands) pipeline.call(...words);
        return (await pipeline.exec()).map(([error, reply]) => error ?? reply);
    };
}

class NodeRedis {
    constructor(packageName, options = {}) {
        const { createClient, ErrorReply, RESP_TYPES, WatchError } = require(packageName);
        this.packageName = packageName;
        this.WatchError = WatchError;
        this.Error = ErrorReply;
        this.types = RESP_TYPES;
        this.client = createClient({ socket: { port }, ...(RESP_TYPES && { RESP: protocol }), ...options });
        this.client.on("error", (error) => console.log(`on error: ${error}`));
    }
    static named = (packageName) => new NodeRedis(packageName, { name: "tester", database: 3 });
    connect = () => this.client.connect();
    close = () => this.client.quit();
    set = (key, value) => this.client.set(key, value);
    get = (key) => this.client.get(key);
    // The option for buffers differs between version 4 and later versions.
    getBuffer = (key) =>
        this.types
            ? this.client.withTypeMapping({ [this.types.BLOB_STRING]: Buffer }).get(key)
            : this.client.get(require("redis-4").commandOptions({ returnBuffers: true }), key);
    call = (...words) => this.client.sendCommand(words);
    listen = async (channel, pattern, receive) => {
        const listener = this.client.duplicate();
        await listener.connect();
        await listener.subscribe(channel, (message, channel) => receive(channel, message));
        await listener.pSubscribe(pattern, (message, channel) => receive(channel, message));
        return async () => {
            await listener.unsubscribe(channel);
            await listener.pUnsubscribe(pattern);
            await listener.quit();
        };
    };
    transaction = async (commands) => {
        const transaction = this.client.multi();
        for (const words of commands) transaction.addCommand(words);
        const { WatchError } = this;
        // If a reply is an error, the method throws an error with all replies.
        return await transaction.exec().catch((error) => (error instanceof WatchError ? undefined : error.replies));
    };
    another = async () => {
        const other = new NodeRedis(this.packageName);
        await other.connect();
        return other;
    };
    // The client sends all calls of one turn of the event loop as a pipeline.
    pipeline = async (commands) => {
        const replies = await Promise.allSettled(commands.map((words) => this.client.sendCommand(words)));
        return replies.map(({ reason, value }) => reason ?? value);
    };
}

const CLIENTS = {
    "ioredis 5": [Ioredis, "ioredis-5"],
    "ioredis 6": [Ioredis, "ioredis"],
    "node-redis 4": [NodeRedis, "redis-4"],
    "node-redis 6": [NodeRedis, "redis"],
};

async function main() {
    const [Client, packageName] = CLIENTS[name];
    console.log(`version ${require(`${packageName}/package.json`).version}`);
    const client = new Client(packageName);
    await client.connect();
    await check("values", () => values(client));
    await check("options", () => options(client, Client.named(packageName)));
    await check("pipeline", () => pipeline(client));
    await check("errors", () => errors(client));
    await check("transactions", () => transactions(client));
    await check("binary", () => binary(client));
    await check("large", () => large(client));
    await check("channels", () => channels(client));
    if (server === "kv") await check("users", () => users(client, Client, packageName));
    if (server === "balancer") {
        await check("lists", () => lists(client));
        await check("scan", () => scan(client));
    }
    if (name === "node-redis 6" && protocol === 3) await check("cache", () => cache(client, packageName));
    await check("reconnect", () => reconnect(client));
    await client.close();
}

async function values(client) {
    assert.equal(await client.set("greeting", "hello world"), "OK");
    assert.equal(await client.get("greeting"), "hello world");
    assert.equal(await client.get("missing"), null);
}

async function options(client, tester) {
    await tester.connect();
    assert.equal(await tester.call("CLIENT", "GETNAME"), "tester");
    await tester.set("where", "in 3");
    assert.equal(await client.get("where"), null);
    assert.equal(await tester.get("where"), "in 3");
    await tester.close();
}

// Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle.
async function pipeline(client) {
    const commands = [];
    for (let n = 0; n < 10_000; n++) commands.push(["SET", `key-${n}`, String(n)], ["GET", `key-${n}`]);
    commands.splice(10_000, 0, ["NOPE"]);
    const replies = await client.pipeline(commands);
    const [error] = replies.splice(10_000, 1);
    assert.ok(error instanceof client.Error, error);
    assert.match(error.message, /unknown command 'NOPE'/);
    replies.forEach((reply, index) => assert.equal(reply, index % 2 ? String((index - 1) / 2) : "OK"));
}

async function errors(client) {
    await fails(client, /unknown command 'NOPE', with args beginning with: 'a'/, "NOPE", "a");
    await fails(client, /wrong number of arguments for 'get' command/, "GET");
    await client.set("word", "abc");
    await fails(client, /value is not an integer or out of range/, "INCR", "word");
    assert.equal(await client.get("word"), "abc");
}

async function fails(client, text, ...words) {
    await assert.rejects(client.call(...words), (error) => {
        assert.ok(error instanceof client.Error, error);
        assert.match(error.message, text);
        return true;
    });
}

async function binary(client) {
    await client.set(EVERY_BYTE, EVERY_BYTE);
    assert.deepEqual(await client.getBuffer(EVERY_BYTE), EVERY_BYTE);
}

async function large(client) {
    for (const length of [0, 16_384, 8 << 20]) {
        const value = Buffer.alloc(length, "0123456789abcd\r\n");
        await client.set("large", value);
        assert.ok(value.equals(await client.getBuffer("large")));
    }
}

// Runs a transaction. Ten clients then increment one watched key.
async function transactions(client) {
    // The hash tag in braces maps all keys to one server.
    await client.set("{t}word", "abc");
    const lines = ["SET {t}n 1", "INCR {t}n", "INCR {t}word", "ECHO among", "GET {t}n"];
    const commands = lines.map((line) => line.split(" "));
    const replies = await client.transaction(commands);
    const [error] = replies.splice(2, 1);
    assert.match(error.message, /not an integer/);
    assert.deepEqual(replies, ["OK", 2, "among", "2"]);
    const countUp = async () => {
        const other = await client.another();
        for (let done = 0; done < 100; ) {
            await other.call("WATCH", "total");
            const value = Number((await other.get("total")) ?? 0);
            if (await other.transaction([["SET", "total", String(value + 1)]])) done++;
        }
        await other.close();
    };
    await Promise.all(Array.from({ length: 10 }, countUp));
    assert.equal(await client.get("total"), "1000");
}

// A blocked client receives an element that another client pushes, repeatedly.
async function lists(client) {
    const other = await client.another();
    for (let n = 0; n < 50; n++) {
        const waiting = other.call("BLPOP", `list-${n}`, "60");
        assert.equal(await client.call("RPUSH", `list-${n}`, String(n)), 1);
        assert.deepEqual(await waiting, [`list-${n}`, String(n)]);
    }
    await other.close();
}

// A scan returns each key once.
async function scan(client) {
    const wanted = [...Array(500).keys()].map((number) => `scanned-${number}`);
    for (const key of wanted) await client.set(key, "1");
    const found = [];
    for await (const keys of client.client.scanStream({ match: "scanned-*", count: 30 })) found.push(...keys);
    assert.deepEqual(found.sort(), wanted.sort());
}

// The client reads a key from its cache until another client changes the key.
async function cache(client, packageName) {
    const keeper = new NodeRedis(packageName, { clientSideCache: { ttl: 0, maxEntries: 100 } });
    await keeper.connect();
    const calls = async () => Number(/cmdstat_get:calls=(\d+)/.exec(await client.call("INFO", "commandstats"))[1]);
    for (const value of ["one", "two", "three"]) {
        await client.set("kept", value);
        while ((await keeper.get("kept")) !== value) await pause(1);
        const before = await calls();
        for (let n = 0; n < 100; n++) assert.equal(await keeper.get("kept"), value);
        assert.equal(await calls(), before);
    }
    await client.call("FLUSHALL");
    while ((await keeper.get("kept")) !== null) await pause(1);
    await keeper.close();
}

// Receives a thousand messages in order from a channel and from a matching pattern, then unsubscribes.
async function channels(client) {
    const heard = [];
    const end = await client.listen("news", "n?ws", (channel, message) => heard.push([channel, message]));
    const expected = [];
    for (let n = 0; n < 1000; n++) {
        assert.equal(await client.call("PUBLISH", "news", String(n)), 2);
        expected.push(["news", String(n)], ["news", String(n)]);
    }
    while (heard.length < expected.length) await pause(10);
    assert.deepEqual(heard, expected);
    await end();
    assert.equal(await client.call("PUBLISH", "news", "nobody"), 0);
}

// The same client works after a restart of the server. Its first commands may fail.
async function reconnect(client) {
    await client.set("greeting", "hello world");
    await restart();
    let value;
    while ((value = await client.get("greeting").catch(explain)) === undefined) await pause(100);
    assert.equal(value, null);
    await values(client);
}

// Logs in as a user, and finds what it may not do by the errors.
async function users(client, Client, packageName) {
    const logIn = (password) => new Client(packageName, { username: "worker", password });
    await client.call("ACL", "SETUSER", "worker", "reset", "on", ">secret", "~job:*", "+@connection", "+@read", "+set");
    const worker = logIn("secret");
    await worker.connect();
    await worker.set("job:1", "x");
    assert.equal(await worker.get("job:1"), "x");
    for (const refused of [() => worker.get("other"), () => worker.call("FLUSHALL")]) {
        await assert.rejects(refused, (error) => error instanceof client.Error && error.message.startsWith("NOPERM"));
    }
    await worker.close();
    const stranger = logIn("wrong");
    const failed = new Promise((resolve) => stranger.client.on("error", resolve));
    stranger.connect().catch(() => {});
    assert.match((await failed).message, /^WRONGPASS/);
    await (stranger.client.destroy ?? stranger.client.disconnect).call(stranger.client);
    assert.equal(await client.call("ACL", "DELUSER", "worker"), 1);
}

async function restart() {
    const input = createInterface({ input: process.stdin });
    const answer = new Promise((resolve) => input.once("line", resolve));
    console.log("restart");
    await answer;
    input.close();
}

function explain(lost) {
    console.log(`after the restart: ${lost}`);
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Runs a check and prints its result.
async function check(what, steps) {
    try {
        await steps();
        console.log(`ok ${what}`);
    } catch (error) {
        console.log(`failed ${what}: ${String(error).replaceAll("\n", " ").slice(0, 500)}`);
    }
}

main();
