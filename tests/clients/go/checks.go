package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The address of the server, and what a client says about itself when it connects.
type settings struct {
	address, name, user, password string
	database                      int
}

// The methods of a client that the checks use.
type client interface {
	// Sends a command. The error is errMissing if the key is missing.
	call(words ...string) (string, error)
	pipeline(commands [][]string) []reply
	// Returns whether an error has the library's type for errors of the server.
	isReply(err error) bool
	close()
}

type reply struct {
	text string
	err  error
}

// Connects a client, and logs it in if the settings have a user.
type dial func(settings) (client, error)

var errMissing = errors.New("the key is missing")

func run(version string, dial dial, server settings) {
	fmt.Println("version", version)
	client, err := dial(server)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer client.close()
	check("values", func() error { return values(client) })
	check("options", func() error { return options(client, dial, server) })
	check("pipeline", func() error { return pipeline(client) })
	check("errors", func() error { return failures(client) })
	check("binary", func() error { return binary(client) })
	check("large", func() error { return large(client) })
	check("users", func() error { return users(client, dial, server) })
	check("reconnect", func() error { return reconnect(client) })
}

func values(client client) error {
	return first(
		is("OK", client, "SET", "greeting", "hello world"),
		is("hello world", client, "GET", "greeting"),
		missing(client, "missing"),
	)
}

func options(client client, dial dial, server settings) error {
	server.name, server.database = "tester", 3
	tester, err := dial(server)
	if err != nil {
		return err
	}
	defer tester.close()
	return first(
		is("tester", tester, "CLIENT", "GETNAME"),
		is("OK", tester, "SET", "where", "in 3"),
		is("in 3", tester, "GET", "where"),
		missing(client, "where"),
	)
}

// Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle.
func pipeline(client client) error {
	const pairs = 10_000
	var commands [][]string
	for n := 0; n < pairs; n++ {
		if n == pairs/2 {
			commands = append(commands, []string{"NOPE"})
		}
		key, value := fmt.Sprint("key-", n), strconv.Itoa(n)
		commands = append(commands, []string{"SET", key, value}, []string{"GET", key})
	}
	replies := client.pipeline(commands)
	if len(replies) != len(commands) {
		return fmt.Errorf("%d replies", len(replies))
	}
	for n, reply := range replies {
		switch words := commands[n]; words[0] {
		case "NOPE":
			if err := says(client, reply.err, "unknown command 'NOPE'"); err != nil {
				return err
			}
		case "SET":
			if reply.text != "OK" {
				return fmt.Errorf("%v: %q, %v", words, reply.text, reply.err)
			}
		default:
			if "key-"+reply.text != words[1] {
				return fmt.Errorf("%v: %q, %v", words, reply.text, reply.err)
			}
		}
	}
	return nil
}

func failures(client client) error {
	return first(
		is("OK", client, "SET", "word", "abc"),
		fails("unknown command 'NOPE', with args beginning with: 'a'", client, "NOPE", "a"),
		fails("wrong number of arguments for 'get' command", client, "GET"),
		fails("value is not an integer or out of range", client, "INCR", "word"),
		is("abc", client, "GET", "word"),
	)
}

func binary(client client) error {
	var everyByte []byte
	for b := 0; b < 256; b++ {
		everyByte = append(everyByte, byte(b))
	}
	return comesBack(client, string(everyByte), string(everyByte)+"\r\n$5\r\n*1\r\n")
}

func large(client client) error {
	for _, length := range []int{0, 16_384, 8 << 20} {
		if err := comesBack(client, "large", strings.Repeat("0123456789abcd\r\n", length/16)); err != nil {
			return err
		}
	}
	return nil
}

// Logs in as a user, and finds what it may not do by the errors.
func users(client client, dial dial, server settings) error {
	rules := strings.Fields("reset on >secret ~job:* +@connection +@read +set")
	if err := is("OK", client, append([]string{"ACL", "SETUSER", "worker"}, rules...)...); err != nil {
		return err
	}
	server.user, server.password = "worker", "secret"
	worker, err := dial(server)
	if err != nil {
		return err
	}
	defer worker.close()
	_, wrong := dial(settings{address: server.address, user: "worker", password: "wrong"})
	return first(
		is("OK", worker, "SET", "job:1", "x"),
		is("x", worker, "GET", "job:1"),
		fails("NOPERM ", worker, "GET", "other"),
		fails("NOPERM ", worker, "FLUSHALL"),
		says(client, wrong, "WRONGPASS "),
	)
}

// The same client works after a restart of the server. Its first command may fail.
func reconnect(client client) error {
	if err := values(client); err != nil {
		return err
	}
	fmt.Println("restart")
	bufio.NewReader(os.Stdin).ReadString('\n')
	if _, err := client.call("GET", "greeting"); err != errMissing {
		fmt.Println("after the restart:", err)
	}
	return first(missing(client, "greeting"), values(client))
}

func is(wanted string, client client, words ...string) error {
	if reply, err := client.call(words...); reply != wanted || err != nil {
		return fmt.Errorf("%v: %q, %v", words, reply, err)
	}
	return nil
}

func missing(client client, key string) error {
	if reply, err := client.call("GET", key); err != errMissing {
		return fmt.Errorf("GET %s: %q, %v", key, reply, err)
	}
	return nil
}

func fails(text string, client client, words ...string) error {
	_, err := client.call(words...)
	return says(client, err, text)
}

func says(client client, err error, text string) error {
	if !client.isReply(err) || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("%v does not say %s", err, text)
	}
	return nil
}

func comesBack(client client, key, value string) error {
	if err := is("OK", client, "SET", key, value); err != nil {
		return err
	}
	if reply, err := client.call("GET", key); err != nil || reply != value {
		return fmt.Errorf("%d bytes came back as %d, %v", len(value), len(reply), err)
	}
	return nil
}

// Returns the first of the errors.
func first(errors ...error) error {
	for _, err := range errors {
		if err != nil {
			return err
		}
	}
	return nil
}

// Converts words to the arguments that the libraries take.
func arguments(words []string) []interface{} {
	arguments := make([]interface{}, len(words))
	for n, word := range words {
		arguments[n] = word
	}
	return arguments
}

// Runs a check and prints its result.
func check(name string, steps func() error) {
	if err := steps(); err != nil {
		fmt.Printf("failed %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		fmt.Println("ok", name)
	}
}
