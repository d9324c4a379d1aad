# Runs one suite of Redis' tests: `tclsh suite.tcl RESULTS SERVER OPTIONS…`, in the folder of Redis' source.
#
# OPTIONS are those of tests/test_helper.tcl. Each result is a line of the file RESULTS: its status, and what
# test_helper.tcl says about it. SERVER is the program that runs in place of redis-server.
#
# This script replaces two procedures of Redis: the one that starts a server, and the one that sends results. Thus each
# `start_server` of a suite starts a server of its own, as with redis-server.

set results [open [lindex $argv 0] w]
set server [lindex $argv 1]
set argv [concat [lrange $argv 2 end] {--client 0 --clients 1 --durable --dont-clean}]
set argc [llength $argv]

# All of test_helper.tcl, except its end, which divides the suites among processes and runs them.
proc definitions {} {
    set file [open tests/test_helper.tcl]
    set text [read $file]
    close $file
    string range $text 0 [string first "\nif \x7b\$::client\x7d" $text]-1
}
eval [definitions]

set test_server_fd {}
proc send_data_packet {to status data {elapsed 0}} {
    puts $::results "$status\t[string map {\\ \\\\ \n \\n \r \\r} $data]"
    flush $::results
    # A failed test leaves its client in a transaction, or with unread replies.
    if {$status eq "err" && [llength $::servers]} {
        reconnect
    }
}

# Starts the server and waits until it listens. The suite reads its log in the file `stdout`.
proc spawn_server {config_file stdout stderr arguments} {
    set config [read_config $config_file]
    set port [dict get $config port]
    set command [list $::server --bind 127.0.0.1:$port]
    if {[dict exists $config enable-debug-command]} {
        lappend command --enable-debug-command [dict get $config enable-debug-command]
    }
    if {[dict exists $config requirepass]} {
        lappend command --password [dict get $config requirepass]
    }
    # kv has no configuration file, so users are in a file of their own.
    if {[dict exists $config user]} {
        set users [file join [dict get $config dir] users.acl]
        append_line $users "user [string trim [dict get $config user] \"]"
        lappend command --aclfile $users
    }
    if {[dict exists $config aclfile]} {
        lappend command --aclfile [file join [dict get $config dir] [dict get $config aclfile]]
    }
    if {[dict exists $config acl-pubsub-default]} {
        lappend command --acl-pubsub-default [dict get $config acl-pubsub-default]
    }
    if {$::singledb} {
        lappend command --dir [dict get $config dir]/events
    }
    set pid [exec {*}$command >> $stdout 2>> $stderr &]
    send_data_packet $::test_server_fd server-spawned $pid
    while {![regexp "listening on .*:$port\\M" [exec tail -n 1 $stdout]]} {
        if {![process_is_alive $pid]} {
            set said [exec cat $stderr]
            if {![string match -nocase "*in use*" $said]} {
                error "the server does not start: $said"
            }
            # The suite tries another port.
            append_line $stdout "Failed listening on port"
            return $pid
        }
        after 5
    }
    configure $port $config
    # The lines of redis-server that the suites wait for.
    append_line $stdout " PID: $pid\nReady to accept connections"
    set pid
}

proc read_config {path} {
    set file [open $path]
    set config {}
    foreach line [split [read $file] \n] {
        if {[regexp {^(\S+) (.*)$} $line _ name value]} {
            dict set config $name [string trim $value "\"'"]
        }
    }
    close $file
    set config
}

# Sets the settings that the server has. Tests that need the others fail.
proc configure {port config} {
    set client [redis 127.0.0.1 $port 0 0]
    catch {$client auth [dict get $config requirepass]}
    dict for {name value} $config {
        catch {$client config set $name $value}
    }
    $client close
}

proc append_line {path text} {
    set file [open $path a]
    puts $file $text
    close $file
}

foreach suite $single_tests {
    execute_test_file $suite
}
