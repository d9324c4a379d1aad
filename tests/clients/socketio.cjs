// Checks that Socket.IO servers exchange messages through streams: `node socketio.cjs PORT`; NODE_PATH names the folder of
// the packages. Two servers use the streams adapter, with node-redis or with ioredis.

const assert = require("node:assert/strict");
const { on, once } = require("node:events");
const { createAdapter } = require("@socket.io/redis-streams-adapter");
const Redis = require("ioredis");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");

const port = Number(process.argv[2]);

async function main() {
    const nodeRedis = createClient({ url: `redis://127.0.0.1:${port}` });
    await nodeRedis.connect();
    const servers = [new Redis({ port }), nodeRedis].map(start);
    const [first, second] = servers;
    const clients = servers.map((server) => connect(server));
    await Promise.all(clients.map((client) => once(client, "connect")));
    while ((await second.fetchSockets().catch(() => [])).length < 2) await pause(20);
    await broadcasts(first, clients);
    await asks(second, clients);
    await recovers(servers, clients, nodeRedis);
    console.log("the streams adapter of Socket.IO: ok");
    process.exit();
}

function start(client) {
    const server = new Server({
        adapter: createAdapter(client, { heartbeatInterval: 100, blockTimeInMs: 100 }),
        connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
    });
    server.on("connection", (socket) => socket.join("room"));
    server.listen(0);
    return server;
}

function connect(server, auth) {
    const url = `http://127.0.0.1:${server.httpServer.address().port}`;
    return io(url, { transports: ["websocket"], forceNew: true, auth, reconnection: false });
}

// A message of one server reaches the clients of both.
async function broadcasts(server, clients) {
    const received = clients.map((client) => once(client, "hello"));
    server.emit("hello", "é", Buffer.from([0xff]));
    for (const [text, bytes] of await Promise.all(received)) {
        assert.deepEqual([text, [...bytes]], ["é", [0xff]]);
    }
}

// The clients of both servers reply to one of them.
async function asks(server, clients) {
    for (const client of clients) client.on("double", (number, reply) => reply(2 * number));
    const replies = await new Promise((resolve, reject) => {
        server.timeout(5000).emit("double", 21, (error, replies) => (error ? reject(error) : resolve(replies)));
    });
    assert.deepEqual(replies, [42, 42]);
}

// A client that lost its connection to one server continues at the other, and gets the messages in between.
async function recovers([first, second], [client, other], redis) {
    const { id, _pid: pid, _lastOffset: offset } = client;
    const gone = once(first.sockets.sockets.get(id), "disconnect");
    client.io.engine.close();
    await gone;
    while ((await redis.keys("sio:session:*")).length < 1) await pause(10);
    const seen = on(other, "missed");
    second.to("room").emit("missed", 1);
    second.emit("missed", 2);
    for (let count = 0; count < 2; count += 1) await seen.next();
    const again = connect(second, { pid, offset });
    const missed = on(again, "missed");
    await once(again, "connect");
    assert.equal(again.id, id);
    for (const number of [1, 2]) assert.equal((await missed.next()).value[0], number);
}

function pause(milliseconds) {
    return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
