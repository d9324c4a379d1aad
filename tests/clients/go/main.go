// The Go clients: `go-clients CLIENT PROTOCOL PORT`.
package main

import "os"

func main() {
	server := settings{address: "127.0.0.1:" + os.Args[3]}
	switch name := os.Args[1]; name {
	case "redigo":
		run(redigoVersion, dialRedigo, server)
	case "go-redis 5":
		run(goRedisVersion, dialGoRedis, server)
	case "go-redis 5 sentinel":
		runSentinel(goRedisVersion, server.address)
	default:
		panic("there is no client " + name)
	}
}

// The versions of Debian's packages. The build sets them, because the libraries do not contain them.
var redigoVersion, goRedisVersion string
