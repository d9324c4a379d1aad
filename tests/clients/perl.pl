# Perl's Redis: `perl perl.pl CLIENT PROTOCOL PORT`.

use strict;
use warnings;
use Redis;

use constant EVERY_BYTE => join('', map { chr } 0 .. 255) . "\r\n\$5\r\n*1\r\n";

$| = 1;
my (undef, undef, $port) = @ARGV;

sub connected {
    return Redis->new(server => "127.0.0.1:$port", reconnect => 60, every => 100_000, @_);
}

my $client = connected();
print "version $Redis::VERSION\n";

check(values => \&values_);

check(options => sub {
    my $tester = connected(name => 'tester', on_connect => sub { $_[0]->select(3) });
    is($tester->client_getname, 'tester');
    $tester->set(where => 'in 3');
    is($client->get('where'), undef);
    is($tester->get('where'), 'in 3');
    $tester->quit;
});

# Sends ten thousand pairs of SET and GET in one pipeline, with an error in the middle.
check(pipeline => sub {
    my @replies;
    my $answered = sub { push @replies, $_[1] // $_[0] };
    for my $n (0 .. 9_999) {
        $client->nope($answered) if $n == 5_000;
        $client->set("key-$n", $n, $answered);
        $client->get("key-$n", $answered);
    }
    $client->wait_all_responses;
    my ($error) = splice @replies, 10_000, 1;
    contains($error, "unknown command 'NOPE'");
    is($replies[2 * $_], 'OK'), is($replies[2 * $_ + 1], $_) for 0 .. 9_999;
});

check(errors => sub {
    fails("unknown command 'NOPE', with args beginning with: 'a'", sub { $client->nope('a') });
    fails("wrong number of arguments for 'get' command", sub { $client->get });
    $client->set(word => 'abc');
    fails('value is not an integer or out of range', sub { $client->incr('word') });
    is($client->get('word'), 'abc');
});

check(binary => sub {
    $client->set(EVERY_BYTE, EVERY_BYTE);
    is($client->get(EVERY_BYTE), EVERY_BYTE);
});

check(large => sub {
    for my $length (0, 16_384, 8 << 20) {
        my $value = "0123456789abcd\r\n" x ($length / 16);
        $client->set(large => $value);
        $client->get('large') eq $value or die "$length bytes came back differently";
    }
});

# The client works after a restart of the server without a failed command, as it promises.
check(reconnect => sub {
    $client->set(greeting => 'hello world');
    print "restart\n";
    <STDIN>;
    is($client->get('greeting'), undef);
    values_();
});

$client->quit;

sub values_ {
    is($client->set(greeting => 'hello world'), 'OK');
    is($client->get('greeting'), 'hello world');
    is($client->get('missing'), undef);
}

# Runs a check and prints its result.
sub check {
    my ($name, $steps) = @_;
    if (eval { $steps->(); 1 }) {
        print "ok $name\n";
    } else {
        print "failed $name: ", $@ =~ s/\n/ /gr, "\n";
    }
}

sub is {
    my ($found, $wanted) = map { $_ // '(nothing)' } @_;
    $found eq $wanted or die "'$found' instead of '$wanted'";
}

sub contains {
    my ($found, $wanted) = @_;
    index($found, $wanted) >= 0 or die "'$found' does not contain '$wanted'";
}

sub fails {
    my ($text, $steps) = @_;
    die 'it did not fail' if eval { $steps->(); 1 };
    contains($@, $text);
}
