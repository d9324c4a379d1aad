// BullMQ: lists, sorted sets and a stream of events, which scripts change together. `bullmq.cjs work` or `send`.
//
// Before several servers: the option `prefix` with a hash tag.

const fs = require("node:fs");
const { Queue, QueueEvents, Worker } = require("bullmq");

const JOBS = Number(process.env.JOBS);
const options = { connection: { port: Number(process.env.PORT) }, prefix: `${process.env.TAG}bull` };

function work() {
    // Other workers get the jobs of a killed worker, whose locks expire after two seconds.
    const times = { lockDuration: 2000, stalledInterval: 1000, maxStalledCount: 5 };
    const worker = new Worker("jobs", double, { ...options, ...times, concurrency: 2 });
    worker.on("error", (error) => console.error(error));
}

async function double(job) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    fs.appendFileSync(process.env.DONE, `${job.data.number}\n`);
    return 2 * job.data.number;
}

async function send() {
    const queue = new Queue("jobs", options);
    const events = new QueueEvents("jobs", options);
    for (const emitter of [queue, events]) {
        emitter.on("error", (error) => console.error(error));
    }
    await events.waitUntilReady();
    const numbers = Array.from({ length: JOBS }, (_, number) => number);
    const jobs = await queue.addBulk(numbers.map((number) => ({ name: "double", data: { number } })));
    // The results come through the stream of events while the jobs are done.
    const results = Promise.allSettled(jobs.map((job) => job.waitUntilFinished(events, 100_000)));
    console.log("sent");
    const right = (await results).filter(({ value }, number) => value === 2 * number);
    console.log(`results ${right.length}`);
    process.exit();
}

({ work, send })[process.argv[2]]();
