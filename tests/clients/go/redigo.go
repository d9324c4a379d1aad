package main

import (
	"errors"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A pool of one connection. A lost connection stays lost, and the pool opens a new one.
type redigo struct{ *redis.Pool }

func dialRedigo(server settings) (client, error) {
	dial := func() (redis.Conn, error) {
		return redis.Dial("tcp", server.address, redis.DialClientName(server.name), redis.DialDatabase(server.database),
			redis.DialUsername(server.user), redis.DialPassword(server.password))
	}
	ping := func(connection redis.Conn, _ time.Time) error { _, err := connection.Do("PING"); return err }
	pool := redigo{&redis.Pool{Dial: dial, TestOnBorrow: ping, MaxIdle: 1}}
	if server.user == "" {
		return pool, nil
	}
	// Without a command, the pool would not log in yet.
	_, err := pool.call("PING")
	return pool, err
}

func (pool redigo) call(words ...string) (string, error) {
	connection := pool.Get()
	defer connection.Close()
	reply, err := redis.String(connection.Do(words[0], arguments(words[1:])...))
	if err == redis.ErrNil {
		err = errMissing
	}
	return reply, err
}

func (pool redigo) pipeline(commands [][]string) []reply {
	connection := pool.Get()
	defer connection.Close()
	for _, words := range commands {
		connection.Send(words[0], arguments(words[1:])...)
	}
	connection.Flush()
	replies := make([]reply, len(commands))
	for n := range replies {
		replies[n].text, replies[n].err = redis.String(connection.Receive())
	}
	return replies
}

func (redigo) isReply(err error) bool {
	var replied redis.Error
	return errors.As(err, &replied)
}

func (pool redigo) close() { pool.Close() }
