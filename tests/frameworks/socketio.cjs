// Socket.IO: several servers, which exchange messages through Redis. `socketio.cjs work` is a server with a client;
// `send` is a server that sends each message to all clients of all servers, and wants a reply of each.
//
// The variable KIND selects the adapter: `pubsub` or `streams`. Both work before several servers as they are.

const fs = require("node:fs");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");

const JOBS = Number(process.env.JOBS);
const WORKERS = 4;
// A killed worker cannot reply.
const ENOUGH = WORKERS - 1;

async function main() {
    const server = new Server({ adapter: await adapter() });
    await { work, send }[process.argv[2]](server);
}

async function adapter() {
    const url = `redis://127.0.0.1:${process.env.PORT}`;
    const clients = [createClient({ url }), createClient({ url })];
    for (const client of clients) {
        client.on("error", (error) => console.error(error));
        await client.connect();
    }
    return process.env.KIND === "streams"
        ? require("@socket.io/redis-streams-adapter").createAdapter(clients[0])
        : require("@socket.io/redis-adapter").createAdapter(...clients, { requestsTimeout: 2000 });
}

function work(server) {
    server.listen(0);
    const client = io(`http://127.0.0.1:${server.httpServer.address().port}`, { transports: ["websocket"] });
    client.on("double", (number, reply) => reply({ worker: process.pid, result: 2 * number }));
}

async function send(server) {
    console.log("sent");
    while ((await clients(server)) < WORKERS) {
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    let next = 0;
    let right = 0;
    // Ten messages are on their way at any time.
    await Promise.all(
        Array.from({ length: 10 }, async () => {
            while (next < JOBS) {
                const number = next++;
                if (await ask(server, number)) {
                    fs.appendFileSync(process.env.DONE, `${number}\n`);
                    right += 1;
                }
            }
        }),
    );
    console.log(`results ${right}`);
    process.exit();
}

async function clients(server) {
    try {
        return (await server.fetchSockets()).length;
    } catch {
        return 0;
    }
}

// Whether enough workers reply with the right result.
function ask(server, number) {
    return new Promise((resolve) => {
        server.timeout(2000).emit("double", number, (_error, replies) => {
            const workers = replies.filter(({ result }) => result === 2 * number).map(({ worker }) => worker);
            resolve(new Set(workers).size >= ENOUGH);
        });
    });
}

main();
