/* hiredis: `hiredis CLIENT PROTOCOL PORT`. */

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS 10000
#define LARGE (8 << 20)

/* The failure that a check found, if any. */
typedef const char *verdict;

#define demand(what) \
    do { \
        if (!(what)) return #what; \
    } while (0)

static int answers(redisReply *reply, int type, const char *text) {
    int same = reply && reply->type == type && (!text || strstr(reply->str, text));
    if (reply) freeReplyObject(reply);
    return same;
}

static int holds(redisContext *client, const char *key, size_t key_length, const char *value, size_t length) {
    redisReply *reply = redisCommand(client, "GET %b", key, key_length);
    int same = reply && reply->type == REDIS_REPLY_STRING && (size_t)reply->len == length &&
               memcmp(reply->str, value, length) == 0;
    if (reply) freeReplyObject(reply);
    return same;
}

static verdict values(redisContext *client) {
    demand(answers(redisCommand(client, "SET greeting %s", "hello world"), REDIS_REPLY_STATUS, "OK"));
    demand(holds(client, "greeting", 8, "hello world", 11));
    demand(answers(redisCommand(client, "GET missing"), REDIS_REPLY_NIL, NULL));
    return NULL;
}

/* hiredis has no options for a name and a database, so the program sends the commands. */
static verdict options(redisContext *client) {
    redisContext *tester = redisConnect("127.0.0.1", client->tcp.port);
    demand(tester && !tester->err);
    demand(answers(redisCommand(tester, "CLIENT SETNAME tester"), REDIS_REPLY_STATUS, "OK"));
    demand(answers(redisCommand(tester, "SELECT 3"), REDIS_REPLY_STATUS, "OK"));
    demand(answers(redisCommand(tester, "CLIENT GETNAME"), REDIS_REPLY_STRING, "tester"));
    demand(answers(redisCommand(tester, "SET where in-3"), REDIS_REPLY_STATUS, "OK"));
    demand(answers(redisCommand(client, "GET where"), REDIS_REPLY_NIL, NULL));
    demand(holds(tester, "where", 5, "in-3", 4));
    redisFree(tester);
    return NULL;
}

/* Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle. */
static verdict pipeline(redisContext *client) {
    for (int n = 0; n < PAIRS; n++) {
        if (n == PAIRS / 2) redisAppendCommand(client, "NOPE");
        redisAppendCommand(client, "SET key-%d %d", n, n);
        redisAppendCommand(client, "GET key-%d", n);
    }
    for (int n = 0; n < PAIRS; n++) {
        char number[16];
        void *reply;
        snprintf(number, sizeof number, "%d", n);
        if (n == PAIRS / 2) {
            demand(redisGetReply(client, &reply) == REDIS_OK);
            demand(answers(reply, REDIS_REPLY_ERROR, "unknown command 'NOPE'"));
        }
        demand(redisGetReply(client, &reply) == REDIS_OK);
        demand(answers(reply, REDIS_REPLY_STATUS, "OK"));
        demand(redisGetReply(client, &reply) == REDIS_OK);
        demand(answers(reply, REDIS_REPLY_STRING, number));
    }
    return NULL;
}

static verdict errors(redisContext *client) {
    demand(answers(redisCommand(client, "NOPE a"), REDIS_REPLY_ERROR,
                   "unknown command 'NOPE', with args beginning with: 'a'"));
    demand(answers(redisCommand(client, "GET"), REDIS_REPLY_ERROR, "wrong number of arguments for 'get' command"));
    demand(answers(redisCommand(client, "SET word abc"), REDIS_REPLY_STATUS, "OK"));
    demand(answers(redisCommand(client, "INCR word"), REDIS_REPLY_ERROR, "value is not an integer or out of range"));
    demand(holds(client, "word", 4, "abc", 3));
    return NULL;
}

static verdict binary(redisContext *client) {
    char every_byte[256 + 11];
    for (int byte = 0; byte < 256; byte++) every_byte[byte] = (char)byte;
    memcpy(every_byte + 256, "\r\n$5\r\n*1\r\n", 10);
    demand(answers(redisCommand(client, "SET %b %b", every_byte, (size_t)266, every_byte, (size_t)266),
                   REDIS_REPLY_STATUS, "OK"));
    demand(holds(client, every_byte, 266, every_byte, 266));
    return NULL;
}

static verdict large(redisContext *client) {
    static char value[LARGE];
    const size_t lengths[] = {0, 16384, LARGE};
    for (size_t at = 0; at < LARGE; at++) value[at] = "0123456789abcd\r\n"[at % 16];
    for (int turn = 0; turn < 3; turn++) {
        demand(answers(redisCommand(client, "SET large %b", value, lengths[turn]), REDIS_REPLY_STATUS, "OK"));
        demand(holds(client, "large", 5, value, lengths[turn]));
    }
    return NULL;
}

/* After a restart of the server a command fails, and redisReconnect restores the connection. */
static verdict reconnect(redisContext *client) {
    char line[64];
    puts("restart");
    demand(fgets(line, sizeof line, stdin));
    demand(redisCommand(client, "GET greeting") == NULL && client->err != 0);
    demand(redisReconnect(client) == REDIS_OK);
    demand(answers(redisCommand(client, "GET greeting"), REDIS_REPLY_NIL, NULL));
    return values(client);
}

/* Runs a check and prints its result. */
static void check(const char *name, verdict (*steps)(redisContext *), redisContext *client) {
    verdict wrong = steps(client);
    if (wrong) printf("failed %s: %s (%s)\n", name, wrong, client->errstr);
    else printf("ok %s\n", name);
}

int main(int count, char **words) {
    if (count < 4) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    redisContext *client = redisConnect("127.0.0.1", atoi(words[3]));
    if (!client || client->err) return 1;
    printf("version %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    check("values", values, client);
    check("options", options, client);
    check("pipeline", pipeline, client);
    check("errors", errors, client);
    check("binary", binary, client);
    check("large", large, client);
    check("reconnect", reconnect, client);
    redisFree(client);
    return 0;
}
