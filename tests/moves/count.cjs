// Increments keys in turn with a cluster client: `node count.cjs CLIENT PORT COUNTS KEYS`; NODE_PATH names the folder of the
// packages.

const [name, port, counts, keys] = [process.argv[2], ...process.argv.slice(3).map(Number)];

const CLIENTS = {
    ioredis: async () => {
        const { Cluster } = require("ioredis");
        return new Cluster([{ host: "127.0.0.1", port }]);
    },
    "node-redis": async () => {
        const { createCluster } = require("redis");
        const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] });
        await client.connect();
        return client;
    },
};
const PACKAGES = { ioredis: "ioredis", "node-redis": "redis" };

async function main() {
    const client = await CLIENTS[name]();
    let counted = 0;
    let errors = 0;
    for (let number = 0; number < counts; number++) {
        try {
            await client.incr(`key-${number % keys}`);
            counted++;
        } catch (error) {
            errors++;
            console.log(String(error));
        }
    }
    console.log("version", require(`${PACKAGES[name]}/package.json`).version);
    console.log("counted", counted);
    console.log("errors", errors);
    process.exit();
}

main();
