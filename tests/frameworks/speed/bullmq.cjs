// A producer and workers of BullMQ: `bullmq.cjs work`, or `bullmq.cjs send COUNT`.

const fs = require("node:fs");
const { Queue, Worker } = require("bullmq");

const BATCH = 100;
const options = { connection: { port: Number(process.env.PORT) } };

function work() {
    const done = fs.openSync(process.env.DONE, "a");
    new Worker("jobs", async () => fs.writeSync(done, "."), { ...options, concurrency: 100 });
}

async function send(count) {
    const queue = new Queue("jobs", options);
    const job = (_, index) => ({ name: "job", data: { index }, opts: { removeOnComplete: true } });
    for (let number = 0; number < count; number += BATCH) {
        await queue.addBulk(Array.from({ length: Math.min(BATCH, count - number) }, job));
    }
    process.exit();
}

({ work, send })[process.argv[2]](Number(process.argv[3]));
