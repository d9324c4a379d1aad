// Redigo: `redigo CLIENT PROTOCOL PORT`.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// The version of Debian's package. The build sets it, because the library does not contain it.
var version string

var address = "127.0.0.1:" + os.Args[3]

func main() {
	fmt.Println("version", version)
	client := dial()
	check("values", func() error { return values(client) })
	check("options", func() error { return options(client) })
	check("pipeline", func() error { return pipeline(client) })
	check("errors", func() error { return failures(client) })
	check("binary", func() error { return binary(client) })
	check("large", func() error { return large(client) })
	check("reconnect", reconnect)
	client.Close()
}

func dial(options ...redis.DialOption) redis.Conn {
	client, err := redis.Dial("tcp", address, options...)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return client
}

func values(client redis.Conn) error {
	if reply, err := redis.String(client.Do("SET", "greeting", "hello world")); reply != "OK" {
		return fmt.Errorf("SET: %q, %v", reply, err)
	}
	if reply, err := redis.String(client.Do("GET", "greeting")); reply != "hello world" {
		return fmt.Errorf("GET: %q, %v", reply, err)
	}
	return missing(client, "missing")
}

func missing(client redis.Conn, key string) error {
	if reply, err := redis.String(client.Do("GET", key)); err != redis.ErrNil {
		return fmt.Errorf("GET %s: %q, %v", key, reply, err)
	}
	return nil
}

func options(client redis.Conn) error {
	tester := dial(redis.DialClientName("tester"), redis.DialDatabase(3))
	defer tester.Close()
	if name, err := redis.String(tester.Do("CLIENT", "GETNAME")); name != "tester" {
		return fmt.Errorf("the name: %q, %v", name, err)
	}
	if _, err := tester.Do("SET", "where", "in 3"); err != nil {
		return err
	}
	if where, err := redis.String(tester.Do("GET", "where")); where != "in 3" {
		return fmt.Errorf("GET where: %q, %v", where, err)
	}
	return missing(client, "where")
}

// Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle.
func pipeline(client redis.Conn) error {
	const pairs = 10_000
	for n := 0; n < pairs; n++ {
		if n == pairs/2 {
			client.Send("NOPE")
		}
		client.Send("SET", fmt.Sprint("key-", n), n)
		client.Send("GET", fmt.Sprint("key-", n))
	}
	if err := client.Flush(); err != nil {
		return err
	}
	for n := 0; n < pairs; n++ {
		if n == pairs/2 {
			_, err := client.Receive()
			if err := says(err, "unknown command 'NOPE'"); err != nil {
				return err
			}
		}
		if reply, err := redis.String(client.Receive()); reply != "OK" {
			return fmt.Errorf("SET %d: %q, %v", n, reply, err)
		}
		if reply, err := redis.Int(client.Receive()); reply != n || err != nil {
			return fmt.Errorf("GET %d: %d, %v", n, reply, err)
		}
	}
	return nil
}

func failures(client redis.Conn) error {
	client.Do("SET", "word", "abc")
	_, unknown := client.Do("NOPE", "a")
	_, arity := client.Do("GET")
	_, number := client.Do("INCR", "word")
	if word, err := redis.String(client.Do("GET", "word")); word != "abc" {
		return fmt.Errorf("GET: %q, %v", word, err)
	}
	for _, err := range []error{
		says(unknown, "unknown command 'NOPE', with args beginning with: 'a'"),
		says(arity, "wrong number of arguments for 'get' command"),
		says(number, "value is not an integer or out of range"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Returns whether an error is the library's type for server errors and contains the text.
func says(err error, text string) error {
	var answered redis.Error
	if !errors.As(err, &answered) || !strings.Contains(err.Error(), text) {
		return fmt.Errorf("%v does not say %s", err, text)
	}
	return nil
}

func binary(client redis.Conn) error {
	var everyByte []byte
	for b := 0; b < 256; b++ {
		everyByte = append(everyByte, byte(b))
	}
	return comesBack(client, everyByte, append(everyByte, "\r\n$5\r\n*1\r\n"...))
}

func large(client redis.Conn) error {
	for _, length := range []int{0, 16_384, 8 << 20} {
		if err := comesBack(client, []byte("large"), bytes.Repeat([]byte("0123456789abcd\r\n"), length/16)); err != nil {
			return err
		}
	}
	return nil
}

func comesBack(client redis.Conn, key, value []byte) error {
	if _, err := client.Do("SET", key, value); err != nil {
		return err
	}
	if reply, err := redis.Bytes(client.Do("GET", key)); err != nil || !bytes.Equal(reply, value) {
		return fmt.Errorf("%d bytes came back as %d, %v", len(value), len(reply), err)
	}
	return nil
}

// After a restart of the server a lost connection stays lost, and the pool opens a new one.
func reconnect() error {
	pool := &redis.Pool{
		Dial:         func() (redis.Conn, error) { return redis.Dial("tcp", address) },
		TestOnBorrow: func(client redis.Conn, _ time.Time) error { _, err := client.Do("PING"); return err },
		MaxIdle:      1,
	}
	defer pool.Close()
	before := pool.Get()
	if err := values(before); err != nil {
		return err
	}
	before.Close()

	fmt.Println("restart")
	bufio.NewReader(os.Stdin).ReadString('\n')
	after := pool.Get()
	defer after.Close()
	if err := missing(after, "greeting"); err != nil {
		return err
	}
	return values(after)
}

// Runs a check and prints its result.
func check(name string, steps func() error) {
	if err := steps(); err != nil {
		fmt.Printf("failed %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		fmt.Println("ok", name)
	}
}
