# redis-rb: `ruby ruby.rb CLIENT PROTOCOL PORT`.

require "redis"

EVERY_BYTE = (0..255).to_a.pack("C*") + "\r\n$5\r\n*1\r\n".b

$stdout.sync = true
PORT = Integer(ARGV[2])

# Runs a check and prints its result.
def check(name)
  yield
  puts "ok #{name}"
rescue => error
  puts "failed #{name}: #{error.inspect.tr("\n", " ")[0, 500]}"
end

def is(found, wanted)
  raise "#{found.inspect} instead of #{wanted.inspect}" unless found == wanted
end

def fails(text)
  reply = yield
rescue Redis::CommandError => error
  raise "#{error.message} does not say #{text}" unless error.message.include?(text)
else
  raise "it was answered with #{reply.inspect}"
end

def values(client)
  is client.set("greeting", "hello world"), "OK"
  is client.get("greeting"), "hello world"
  is client.get("missing"), nil
end

client = Redis.new(port: PORT)
puts "version #{Redis::VERSION}"

check("values") { values(client) }

check("options") do
  tester = Redis.new(port: PORT, db: 3, id: "tester")
  tester.client(:setname, "tester")
  is tester.client(:getname), "tester"
  tester.set("where", "in 3")
  is client.get("where"), nil
  is tester.get("where"), "in 3"
  tester.quit
end

# Sends ten thousand pairs of SET and GET, and another pipeline with an error, which fails as a whole.
check("pipeline") do
  replies = client.pipelined do |pipeline|
    10_000.times { |n| pipeline.set("key-#{n}", n); pipeline.get("key-#{n}") }
  end
  is replies, Array.new(10_000) { |n| ["OK", n.to_s] }.flatten
  fails("unknown command 'NOPE'") do
    client.pipelined do |pipeline|
      pipeline.set("before", 1)
      pipeline.call("NOPE")
      pipeline.set("after", 2)
    end
  end
  is client.mget("before", "after"), ["1", "2"]
end

check("errors") do
  fails("unknown command 'NOPE', with args beginning with: 'a'") { client.call("NOPE", "a") }
  fails("wrong number of arguments for 'get' command") { client.call("GET") }
  client.set("word", "abc")
  fails("value is not an integer or out of range") { client.incr("word") }
  is client.get("word"), "abc"
end

check("binary") do
  client.set(EVERY_BYTE, EVERY_BYTE)
  is client.get(EVERY_BYTE).b, EVERY_BYTE
end

check("large") do
  [0, 16_384, 8 << 20].each do |length|
    value = "0123456789abcd\r\n" * (length / 16)
    client.set("large", value)
    raise "#{length} bytes came back differently" unless client.get("large") == value
  end
end

# The client works after a restart of the server without a failed command, as it promises.
check("reconnect") do
  client.set("greeting", "hello world")
  puts "restart"
  $stdin.gets
  is client.get("greeting"), nil
  values(client)
end

client.quit
