package main

import (
	"reflect"

	"gopkg.in/redis.v5"
)

// A client with one connection, which it opens again when it is lost.
type goRedis struct{ *redis.Client }

// Version 5 has no options for the names of the client and its user, so the program sends the commands.
func dialGoRedis(server settings) (client, error) {
	library := goRedis{redis.NewClient(&redis.Options{Addr: server.address, DB: server.database, PoolSize: 1})}
	var err error
	if server.name != "" {
		_, err = library.call("CLIENT", "SETNAME", server.name)
	}
	if server.user != "" {
		_, err = library.call("AUTH", server.user, server.password)
	}
	return library, err
}

func (library goRedis) call(words ...string) (string, error) {
	command := redis.NewStringCmd(arguments(words)...)
	library.Process(command)
	reply, err := command.Result()
	if err == redis.Nil {
		err = errMissing
	}
	return reply, err
}

func (library goRedis) pipeline(commands [][]string) []reply {
	sent, _ := library.Pipelined(func(pipeline *redis.Pipeline) error {
		for _, words := range commands {
			pipeline.Process(redis.NewStringCmd(arguments(words)...))
		}
		return nil
	})
	replies := make([]reply, len(sent))
	for n, command := range sent {
		replies[n].text, replies[n].err = command.(*redis.StringCmd).Result()
	}
	return replies
}

// The library does not export its type for the errors of the server. Its value for a missing key has this type.
func (goRedis) isReply(err error) bool {
	return reflect.TypeOf(err) == reflect.TypeOf(redis.Nil)
}

func (library goRedis) close() { library.Close() }
