package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gopkg.in/redis.v5"
)

const (
	counters = 4
	// How often each counter counts before the next switch.
	counts   = 200
	patience = time.Minute
)

// Counts with the client of go-redis that knows Sentinel, while another server becomes the master.
func runSentinel(version string, sentinel string) {
	fmt.Println("version", version)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "counters", SentinelAddrs: []string{sentinel}})
	defer client.Close()
	check("switch", func() error { return switchMasters(client, sentinel) })
}

type tally struct{ counted, failed int64 }

func switchMasters(client *redis.Client, sentinel string) error {
	var group sync.WaitGroup
	tallies, over := make([]tally, counters), make(chan struct{})
	for n := range tallies {
		group.Add(1)
		go count(client, &tallies[n], over, &group)
	}
	err := goOn(tallies)
	first, second := servers(sentinel)
	for _, master := range []string{second, first, second} {
		if err == nil {
			follow(sentinel, master)
			err = goOn(tallies)
		}
	}
	close(over)
	group.Wait()
	if err != nil {
		return err
	}
	var total, counted, failed int64
	for _, server := range []string{first, second} {
		follow(sentinel, server)
		var own int64
		fmt.Sscanf(strings.SplitN(ask(server, "GET n"), "\r\n", 2)[0], ":%d", &own)
		total += own
	}
	for _, tally := range tallies {
		counted, failed = counted+tally.counted, failed+tally.failed
	}
	if total < counted || total > counted+failed {
		return fmt.Errorf("%d are counted, %d acknowledged, %d failed", total, counted, failed)
	}
	return nil
}

func count(client *redis.Client, tally *tally, over chan struct{}, group *sync.WaitGroup) {
	defer group.Done()
	for {
		select {
		case <-over:
			return
		default:
		}
		if err := client.Incr("n").Err(); err == nil {
			atomic.AddInt64(&tally.counted, 1)
		} else {
			atomic.AddInt64(&tally.failed, 1)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// Waits until each counter has counted again.
func goOn(tallies []tally) error {
	deadline := time.Now().Add(patience)
	for n := range tallies {
		before := atomic.LoadInt64(&tallies[n].counted)
		for atomic.LoadInt64(&tallies[n].counted) < before+counts {
			if time.Now().After(deadline) {
				return fmt.Errorf("the client does not find the master")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

var replicaPort = regexp.MustCompile(`\r\nport\r\n\$\d+\r\n(\d+)`)
var masterPort = regexp.MustCompile(`(\d+)\r\n$`)

// Returns the addresses of the master and of the replica.
func servers(sentinel string) (string, string) {
	master := masterPort.FindStringSubmatch(ask(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME counters"))
	replica := replicaPort.FindStringSubmatch(ask(sentinel, "SENTINEL REPLICAS counters"))
	return "127.0.0.1:" + master[1], "127.0.0.1:" + replica[1]
}

// Makes a server the master: the old master ends its work first.
func follow(sentinel, master string) {
	old, other := servers(sentinel)
	for _, server := range []string{old, other} {
		ask(server, "FOLLOW "+strings.Replace(master, ":", " ", 1))
	}
}

// Sends a request on a new connection. Returns the reply, which has to come at once.
func ask(address, request string) string {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer connection.Close()
	fmt.Fprintf(connection, "%s\r\n", request)
	reply := bufio.NewReaderSize(connection, 1<<16)
	reply.Peek(1)
	bytes, _ := reply.Peek(reply.Buffered())
	return string(bytes)
}
