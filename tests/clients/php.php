<?php
// phpredis: `php php.php CLIENT PROTOCOL PORT`.

const PATIENCE = 60;

[, , , $port] = $argv;
$client = connected((int) $port);
echo "version ", phpversion("redis"), "\n";

check("values", fn() => values($client));

check("options", function () use ($client, $port) {
    $tester = connected((int) $port);
    is($tester->client("setname", "tester"), true);
    is($tester->select(3), true);
    is($tester->client("getname"), "tester");
    $tester->set("where", "in 3");
    is($client->get("where"), false);
    is($tester->get("where"), "in 3");
    $tester->close();
});

// Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle.
check("pipeline", function () use ($client) {
    $pipeline = $client->multi(Redis::PIPELINE);
    for ($n = 0; $n < 10_000; $n++) {
        if ($n === 5_000) {
            $pipeline->rawCommand("NOPE");
        }
        $pipeline->set("key-$n", (string) $n)->get("key-$n");
    }
    $replies = $pipeline->exec();
    is(array_splice($replies, 10_000, 1), [false]);
    says($client->getLastError(), "unknown command 'NOPE'");
    foreach ($replies as $index => $reply) {
        is($reply, $index % 2 ? (string) intdiv($index, 2) : true);
    }
});

check("errors", function () use ($client) {
    fails($client, "unknown command 'NOPE', with args beginning with: 'a'", "NOPE", "a");
    fails($client, "wrong number of arguments for 'get' command", "GET");
    $client->set("word", "abc");
    fails($client, "value is not an integer or out of range", "INCR", "word");
    is($client->get("word"), "abc");
});

check("binary", function () use ($client) {
    $everyByte = implode(array_map("chr", range(0, 255))) . "\r\n\$5\r\n*1\r\n";
    $client->set($everyByte, $everyByte);
    is($client->get($everyByte), $everyByte);
});

check("large", function () use ($client) {
    foreach ([0, 16_384, 8 << 20] as $length) {
        $value = str_repeat("0123456789abcd\r\n", intdiv($length, 16));
        $client->set("large", $value);
        if ($client->get("large") !== $value) {
            throw new Exception("$length bytes came back differently");
        }
    }
});

// The client works after a restart of the server without a failed command, as it promises.
check("reconnect", function () use ($client) {
    $client->set("greeting", "hello world");
    echo "restart\n";
    fgets(STDIN);
    is($client->get("greeting"), false);
    values($client);
});

$client->close();

function connected(int $port): Redis
{
    $client = new Redis();
    $client->connect("127.0.0.1", $port, PATIENCE);
    return $client;
}

function values(Redis $client): void
{
    is($client->set("greeting", "hello world"), true);
    is($client->get("greeting"), "hello world");
    is($client->get("missing"), false);
}

// phpredis returns `false` for an error and stores its text.
function fails(Redis $client, string $text, string ...$words): void
{
    $client->clearLastError();
    is($client->rawCommand(...$words), false);
    says($client->getLastError(), $text);
}

function says(?string $found, string $wanted): void
{
    if (!str_contains((string) $found, $wanted)) {
        throw new Exception("'$found' does not say '$wanted'");
    }
}

function is(mixed $found, mixed $wanted): void
{
    if ($found !== $wanted) {
        throw new Exception(var_export($found, true) . " instead of " . var_export($wanted, true));
    }
}

// Runs a check and prints its result.
function check(string $name, callable $steps): void
{
    try {
        $steps();
        echo "ok $name\n";
    } catch (Throwable $error) {
        echo "failed $name: ", substr(strtr($error->getMessage(), "\n", " "), 0, 500), "\n";
    }
}
