// redis-commander, a web page that shows a server's keys, in headless Chromium: `node web.cjs CLIENT PROTOCOL PORT`.
// If the variable SCREENSHOT names a file, the program saves a screenshot of the page there.

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { on, once } = require("node:events");
const net = require("node:net");
const path = require("node:path");
const puppeteer = require("puppeteer-core");
const Redis = require("ioredis");

const PATIENCE = 60_000;
const port = Number(process.argv[4]);

async function main() {
    const folder = path.dirname(require.resolve("redis-commander/package.json"));
    console.log(`version ${require("redis-commander/package.json").version}`);
    const webPort = await freePort();
    const commander = spawn(process.execPath, [
        path.join(folder, "bin/redis-commander.js"),
        ...["--redis-host", "127.0.0.1", "--redis-port", port, "--address", "127.0.0.1", "--port", webPort, "--nosave"],
    ]);
    const browser = await puppeteer.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
    try {
        await said(commander, "access with browser");
        await store();
        const page = await browser.newPage();
        page.setDefaultTimeout(PATIENCE);
        await page.setViewport({ width: 1200, height: 700 });
        await page.goto(`http://127.0.0.1:${webPort}/`);
        await check("keys", () => keys(page));
        await check("values", () => values(page));
    } finally {
        await browser.close();
        commander.kill();
    }
}

async function store() {
    const client = new Redis({ port, protocol: 2 });
    await client.set("greeting", "hello world");
    await client.mset("folder:one", "1", "folder:two", "2");
    await client.quit();
}

// The tree lists the keys of database 0. Keys with a common prefix are in a folder.
async function keys(page) {
    const shown = await showsInTree(page, "greeting");
    assert.match(shown, /folder:\*? ?\(2\)/);
}

// A click on a key shows its value.
async function values(page) {
    await page.evaluate(() => {
        const anchors = [...document.querySelectorAll("#keyTree a")];
        anchors.find((anchor) => anchor.textContent.trim() === "greeting").click();
    });
    await page.waitForFunction(
        () => [...document.querySelectorAll("#body, #body textarea")].some(
            (shown) => (shown.value ?? shown.textContent).includes("hello world"),
        ),
    );
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
}

async function showsInTree(page, text) {
    await page.waitForFunction(
        (text) => document.querySelector("#keyTree")?.textContent.includes(text), {}, text,
    );
    return page.$eval("#keyTree", (tree) => tree.textContent);
}

// Waits until a program's output contains the text.
async function said(program, text) {
    let output = "";
    for await (const [data] of on(program.stdout, "data", { signal: AbortSignal.timeout(PATIENCE) })) {
        output += data;
        if (output.includes(text)) return;
    }
}

async function freePort() {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}

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
