// A producer and workers of `jobs`: `jobs.cjs work`, or `jobs.cjs send COUNT`.

const fs = require("node:fs");
const Redis = require("ioredis");

const BATCH = 100;
const LOOPS = 4;
const client = () => new Redis({ port: Number(process.env.PORT), maxRetriesPerRequest: null });

async function work() {
    const done = fs.openSync(process.env.DONE, "a");
    await Promise.all(Array.from({ length: LOOPS }, () => workOff(client(), done)));
}

async function workOff(jobs, done) {
    let finished = [];
    for (;;) {
        const acknowledged = finished.length && jobs.call("ACKJOB", ...finished);
        const given = (await jobs.call("GETJOB", "COUNT", BATCH, "FROM", "jobs")) ?? [];
        await acknowledged;
        given.forEach(() => fs.writeSync(done, "."));
        finished = given.map(([, id]) => id);
    }
}

async function send(count) {
    const jobs = client();
    for (let number = 0; number < count; number += BATCH) {
        const size = Math.min(BATCH, count - number);
        await Promise.all(Array.from({ length: size }, (_, index) => jobs.call("ADDJOB", "jobs", `${number + index}`)));
    }
    process.exit();
}

({ work, send })[process.argv[2]](Number(process.argv[3]));
