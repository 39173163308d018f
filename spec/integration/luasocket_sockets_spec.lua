-- SPDX-License-Identifier: MIT
--
-- The sockets of require "socket" in a handler, held against Debian's LuaSocket call by call: the same programs, on the
-- same servers, tell the same.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local pair = require "spec.support.luasocket_pair"
local process = require "spec.support.process"

describe("LuaSocket's sockets", function()
  local both, port, shut, path
  setup(function()
    both = pair.start { config = "" }
    port, shut = net.free_ports(1, "127.0.0.1"), net.free_ports(1, "127.0.0.1")
    path = both.directory .. "/listener.sock"
    local server = process.start { "luajit", "spec/support/luasocket_server.lua", port }
    process.wait_for(function()
      assert(server:alive(), server:err())
      local connection = net.connect(port)
      return connection
    end, 10, "the server")
  end)
  teardown(moongate.finish)

  -- `open(program)`: a connected socket, whose peer runs it.
  local HEAD = [[
    local told, port, shut, seed, path = ...
    local emit, attempt = told.emit, told.attempt
    local socket = require "socket"
    local function open(program)
      local sock = assert(socket.connect("127.0.0.1", port))
      assert(sock:send((program:gsub("\n", " ")) .. "\n"))
      return sock
    end
    local function timed(name, least, most, fn, ...)
      local began = socket.gettime()
      attempt(name, fn, ...)
      local took = socket.gettime() - began
      emit(name, took >= least and took <= most and "in time" or ("after %.3f s"):format(took))
    end
  ]]

  local function assert_same(program)
    both:assert_same(HEAD .. program, tostring(port), tostring(shut), pair.seed(), path)
  end

  it("have the same methods, and the same complaints about what is wrong", function()
    assert_same [[
      local tcp = socket.tcp()
      emit(tcp, tcp.class, tostring(tcp):match "^tcp{master}: ")
      for _, name in ipairs { "accept", "bind", "close", "connect", "dirty", "getfamily", "getfd", "getoption",
        "getpeername", "getsockname", "getstats", "setstats", "listen", "receive", "send", "setfd", "setoption",
        "setpeername", "setsockname", "settimeout", "gettimeout", "shutdown" } do
        emit(name, type(tcp[name]))
      end
      attempt("send", tcp.send, tcp, "x")
      attempt("receive", tcp.receive, tcp)
      attempt("shutdown", tcp.shutdown, tcp)
      attempt("getstats", tcp.getstats, tcp)
      attempt("setstats", tcp.setstats, tcp)
      attempt("peer", tcp.getpeername, tcp)
      attempt("name", tcp.getsockname, tcp)
      emit(tcp:dirty(), tcp:getfd(), tcp:getfamily(), tcp:gettimeout())
      for _, wrong in ipairs { "x", "bx", "total", "r", "tx", "block", "" } do
        attempt("settimeout " .. wrong, tcp.settimeout, tcp, 1, wrong)
      end
      attempt("settimeout text", tcp.settimeout, tcp, "1")
      emit(tcp:gettimeout())
      attempt("settimeout none", tcp.settimeout, tcp)
      attempt("settimeout negative", tcp.settimeout, tcp, -3, "t")
      emit(tcp:gettimeout())
      attempt("option", tcp.setoption, tcp, "nonsense", true)
      attempt("option", tcp.getoption, tcp, "nonsense")
      attempt("option", tcp.setoption, tcp, "keepalive", 1)
      attempt("option", tcp.setoption, tcp, "keepalive")
      attempt("option", tcp.setoption, tcp, "linger", {})
      attempt("option", tcp.setoption, tcp, "linger", { on = true })
      attempt("option", tcp.setoption, tcp, "tcp-keepidle", "x")
      attempt("connect", tcp.connect, tcp)
      attempt("connect", tcp.connect, tcp, "127.0.0.1")
      attempt("connect", tcp.connect, tcp, {}, 80)
      attempt("close", tcp.close, tcp)
      attempt("close", tcp.close, tcp)
      emit(tcp.class, socket._SETSIZE, socket._DATAGRAMSIZE, socket._SOCKETINVALID, socket.BLOCKSIZE, socket._DEBUG)
      for _, make in ipairs { "tcp4", "tcp6" } do
        local sock = socket[make]()
        emit(make, sock, sock:getfd() >= 0, sock:getfamily(), (sock:getsockname()), select(2, sock:getsockname()))
        sock:close()
        emit(make, sock, sock:getfd(), sock:getsockname())
      end
    ]]
  end)

  it("connect, or say why not", function()
    assert_same [[
      for _, where in ipairs { { "", 80 }, { "127.0.0.1", 0 }, { "127.0.0.1", shut },
        { "127.0.0.1", "http" }, { "127.0.0.1", "nonsense" }, { "127.0.0.1", "" }, { "127.0.0.1", "80x" },
        { "127.0.0.1", -1 }, { "host.invalid", 80 }, { "two words", 80 }, { "a\0b.invalid", 80 }, { "::1", shut },
        { ("x"):rep(300), 80 } } do
        attempt("connect " .. where[1]:sub(1, 20) .. " " .. where[2], socket.connect, where[1], where[2])
        local tcp = socket.tcp()
        attempt("tcp", tcp.connect, tcp, where[1], where[2])
        emit(tcp.class)
        attempt("send", tcp.send, tcp, "")
        tcp:close()
        local four = socket.tcp4()
        attempt("tcp4", four.connect, four, where[1], where[2])
        four:close()
      end
      local sock = socket.connect("127.0.0.1", port)
      emit(sock, sock:getfamily(), sock:getpeername() == "127.0.0.1", select(2, sock:getpeername()) == tonumber(port),
        select(3, sock:getpeername()))
      local address, own, family = sock:getsockname()
      emit(address, type(own), family)
      local ok, err = sock:connect("127.0.0.1", port) -- Linux tells of a connection once
      emit(ok == 1 or err == "already connected")
      sock:close()
      attempt("closed", sock.receive, sock)
      attempt("closed", sock.receive, sock, 0)
      attempt("closed", sock.receive, sock, "*a", "before")
      attempt("closed", sock.receive, sock, 2, "before")
      attempt("closed", sock.send, sock, "x")
      attempt("closed", sock.send, sock, "")
      attempt("closed", sock.shutdown, sock)
      attempt("closed", sock.getpeername, sock)
      attempt("closed", sock.getsockname, sock)
      emit(sock:getfd(), sock:dirty(), sock.class)
      attempt("once more", sock.connect, sock, "127.0.0.1", port)
      emit(sock:getfd() >= 0)
      sock:close()
      emit(socket.connect4("127.0.0.1", port), (socket.connect6("::1", shut)), socket.connect("localhost", port))
    ]]
  end)

  it("go to no other port than they are told", function()
    -- LuaSocket goes to 99999 modulo 65536.
    local _, ours = both:run [[
      local told = ...
      told.attempt("", require "socket".connect, "127.0.0.1", 99999)
    ]]
    assert.are.equal('"" | nil | "service not supported for socket type"', ours[1])
  end)

  it("connect from an address and a port", function()
    assert_same [[
      attempt("bad address", socket.connect, "127.0.0.1", port, "192.0.2.77")
      attempt("no address", socket.connect, "127.0.0.1", port, "host.invalid")
      attempt("bad family", socket.connect, "127.0.0.1", port, nil, nil, "ipx")
      local sock, err = socket.connect("127.0.0.1", port, "127.0.0.5")
      emit(sock, err, (sock:getsockname()))
      sock:close()
      local tcp = socket.tcp()
      attempt("bind", tcp.bind, tcp, "127.0.0.7", 0)
      local address, own, family = tcp:getsockname()
      emit(address, type(own), tonumber(own) > 0, family, tcp:getfd() >= 0, tcp.class)
      local other = socket.tcp()
      attempt("taken", other.bind, other, "127.0.0.7", own)
      attempt("connect", tcp.connect, tcp, "127.0.0.1", port)
      emit((tcp:getsockname()), select(2, tcp:getsockname()) == own)
      emit(tcp:send "data:send(data:getpeername() .. '\\n')\n" ~= nil, tcp:receive())
      attempt("bound again", tcp.bind, tcp, "127.0.0.7", 0)
      tcp:close()
      local star = socket.tcp4()
      attempt("star", star.setsockname, star, "*", 0)
      emit((star:getsockname()))
      local refused = socket.tcp()
      refused:bind("127.0.0.1", 0)
      attempt("refused", refused.connect, refused, "127.0.0.1", shut)
      local wrong = socket.tcp4()
      emit((wrong:connect("::1", port)))
    ]]
  end)

  it("receive by all patterns, with prefixes, whatever pieces the bytes come in", function()
    assert_same [[
      local state = tonumber(seed) % 2147483646 + 1
      local function random(n)
        state = state * 16807 % 2147483647
        return state % n + 1
      end
      local pieces = { "line", "\n", "\r\n", "\r", "", "\0", "long " .. ("x"):rep(5000), "end\n", " a b " }
      for round = 1, 40 do
        local program, pauses = {}, random(3) == 1
        for i = 1, random(8) do
          program[i] = ("data:send(%s) %s"):format(("%q"):format(pieces[random(#pieces)]):gsub("\\\n", "\\n")
            :gsub("\r", "\\r"):gsub("%z", "\\0"), pauses and "socket.sleep(0.005)" or "")
        end
        local sock = open(table.concat(program, " "))
        sock:settimeout(10)
        for i = 1, random(9) do
          local pattern = ({ "*l", "*a", "*line", random(9), random(7000), 0, "3" })[random(7)]
          local prefix = ({ "", "pre\r\nfix", "123456" })[random(9)]
          emit(round, i, pattern, prefix, sock:receive(pattern, prefix))
          emit(select("#", sock:receive(0, "x")))
        end
        emit(sock:receive "*a")
        emit(sock:receive "*a")
        sock:close()
      end
      local sock = open "data:send 'x' data:receive '*a'"
      for _, wrong in ipairs { "", "x", "l", "*x", "**l", -1, true, {} } do
        attempt("pattern " .. tostring(wrong):sub(1, 3), sock.receive, sock, wrong)
      end
      attempt("pattern 1.9", sock.receive, sock, 1.9)
      sock:close()
    ]]
  end)

  it("receive lines of any length, and send what they are told to", function()
    assert_same [[
      local sock = open "local l = data:receive() data:send(#l .. '\\n' .. l .. '\\n')"
      local line = ("0123456789"):rep(50000)
      emit(sock:send(line .. "\n"), sock:receive(), sock:receive() == line, sock:receive())
      sock:close()
      local sock = open "data:send(data:receive '*a')"
      local text = "hello world"
      for _, range in ipairs { { 1 }, { 3 }, { 2, 4 }, { -3 }, { -3, -2 }, { 0 }, { 0, 0 }, { 5, 2 }, { 100 },
        { -100, 3 }, { 2, 100 }, { "2", "3" }, { 12 }, { 11, 11 }, { 1.7, 3.9 } } do
        attempt("send", sock.send, sock, text, range[1], range[2])
      end
      attempt("number", sock.send, sock, 42)
      attempt("nil", sock.send, sock)
      attempt("table", sock.send, sock, {})
      emit(select("#", sock:send "x"))
      attempt("side", sock.shutdown, sock, "left")
      emit(sock:shutdown "send", sock:receive "*a")
      attempt("after the end", sock.send, sock, "x")
      emit(sock:close())
    ]]
  end)

  it("answer to any order of calls as theirs", function()
    assert_same [[
      local state = tonumber(seed) % 2147483646 + 1
      local function random(n)
        state = state * 16807 % 2147483647
        return state % n + 1
      end
      local function pick(list) return list[random(#list)] end
      -- Whose order matters to nobody else: the peer says all that it has to say at once, and then waits for the end.
      local peers = {
        "data:send 'one\\r\\ntwo\\nthree' data:shutdown 'send' data:receive '*a'",
        "data:send(('0123456789'):rep(800)) data:shutdown 'send' data:receive '*a'",
        "data:shutdown 'send' data:receive '*a'",
        "data:send '\\n\\n\\r\\n \\n' data:shutdown 'send' data:receive '*a'",
      }
      local calls = {
        function(sock) return "receive", pick { "*l", "*a", random(12), 0, 5000 }, pick { "", "prefix", "a\rb" } end,
        function(sock) return "receive", random(20) end,
        function(sock) return "receive" end,
        function(sock) return "send", pick { "", "some text", ("x"):rep(9000) }, random(8) - 3, random(8) - 3 end,
        function(sock) return "send", "plain" end,
        function(sock) return "settimeout", pick { -1, 5, 20 }, pick { "b", "t" } end,
        function(sock) return "gettimeout" end,
        function(sock) return "getfamily" end,
        function(sock) return "setoption", pick { "tcp-nodelay", "keepalive" }, random(2) == 1 end,
        function(sock) return "getstats" end,
        function(sock) return "shutdown", pick { "send", "both", "send" } end,
        function(sock) return "close" end,
        function(sock) return "connect", "127.0.0.1", port end,
        function(sock) return "bind", "127.0.0.1", 0 end,
      }
      local function told_name(name, ok, ...)
        if name == "getstats" and ok then
          local received, sent = ...
          emit(name, received, sent)
        elseif name == "connect" then -- how it is told differs with what went before
          emit(name, ok)
        else
          attempt(name, function(...) if ok then return ... end error((...), 0) end, ...)
        end
      end
      for round = 1, 150 do
        local sock = pick { function() return open(pick(peers)) end, function() return open(pick(peers)) end,
          socket.tcp, socket.tcp4 }()
        if sock.class == "tcp{client}" then
          sock:setstats(0, 0)
          socket.select({ sock }, nil, 5)
          socket.sleep(0.01)
        end
        local is_shut
        for _ = 1, random(12) do
          local made = { calls[random(#calls)](sock) }
          local name = made[1]
          if name == "shutdown" then is_shut = true end
          -- What a new connection's peer says is nothing to compare; nor is what a closed one was told.
          if not (name == "connect" and (sock.class == "tcp{client}" or is_shut))
            and not (name == "setoption" and sock:getfd() == -1) then
            emit(round, sock.class, unpack(made))
            told_name(name, pcall(sock[name], sock, unpack(made, 2)))
          end
          if name == "connect" or name == "close" then break end -- LuaSocket hands out what it had read even then
        end
        sock:close()
      end
    ]]
  end)

  it("count what went each way", function()
    assert_same [[
      local sock = open "data:send 'one\\r\\ntwo' socket.sleep(0.05) data:receive '*a'"
      local base = select(2, sock:getstats())
      emit(sock:receive(), (sock:getstats()))
      emit(sock:receive(1), (sock:getstats()), sock:dirty())
      emit(sock:receive(2), (sock:getstats()), sock:dirty())
      emit(sock:send "12345", select(2, sock:getstats()) - base)
      emit(sock:setstats(100, 200, 50), sock:getstats() == 100, (select(2, sock:getstats())))
      local age = select(3, sock:getstats())
      emit(age >= 50 and age < 60)
      emit(sock:send "12345", (select(2, sock:getstats())))
      sock:close()
      emit((sock:getstats()), (select(2, sock:getstats())))
    ]]
  end)

  it("wait as long as they may, and no longer", function()
    assert_same [[
      local DRIP = "for i = 1, 80 do if not data:send '.' then break end socket.sleep(0.05) end"
      local sock = open(DRIP)
      sock:settimeout(0.3)
      timed("a step's alone is the whole call's", 0.25, 3, function()
        return (select(2, sock:receive(1000)))
      end)
      sock:close()
      sock = open(DRIP)
      sock:settimeout(0.5)
      sock:settimeout(1.5, "t")
      timed("with both a step has its own", 1.4, 3.5, function()
        return (select(2, sock:receive(1000)))
      end)
      sock:close()
      sock = open(DRIP)
      sock:settimeout(0.3, "t")
      timed("the whole call's alone", 0.25, 3, function()
        return (select(2, sock:receive "*a"))
      end)
      sock:close()
      sock = open "data:send 'x' data:receive '*l' data:send 'y'"
      sock:settimeout(0.2, "b")
      sock:settimeout(20, "t")
      timed("a step in which nothing comes", 0.15, 15, function()
        return select(2, sock:receive(5))
      end)
      sock:settimeout(-1, "b")
      emit(sock:send "go on\n")
      timed("no step's any more", 0, 15, sock.receive, sock, 1)
      sock:close()
      sock = open "data:send 'one\\nha' data:receive '*l' data:send 'lf\\n'"
      emit(sock:receive())
      sock:settimeout(0.5)
      timed("half a line", 0.4, 15, sock.receive, sock)
      emit(sock:send "go on\n")
      sock:settimeout(nil)
      timed("the rest, behind what came", 0, 15, sock.receive, sock, "*l", "ha")
      sock:close()
      sock = open "data:receive '*l'"
      sock:settimeout(0)
      timed("none at all", 0, 5, sock.receive, sock)
      timed("none at all, of nothing", 0, 5, sock.receive, sock, 0)
      sock:settimeout "20"
      emit(sock:send "go on\n")
      timed("the end", 0, 15, sock.receive, sock)
      sock:close()
      sock = open "stay()"
      sock:settimeout(0.3)
      local much = ("x"):rep(20000000)
      timed("a send that nobody takes", 0.25, 15, function()
        local _, err, at = sock:send(much)
        return err, at > 0
      end)
      sock:settimeout(0)
      timed("a send that polls", 0, 5, function()
        local _, err, at = sock:send(much, 11)
        return err, at >= 10
      end)
      sock:close()
    ]]
  end)

  it("select what is ready, with its place", function()
    assert_same [[
      local quiet, talks = open "data:receive '*a'", open "data:send 'hello' data:receive '*a'"
      local later, ends = open "data:receive '*l' data:send 'x' data:receive '*a'", open ""
      emit(#socket.select({ talks }, nil, 20), #socket.select({ ends }, nil, 20))
      local label = { [quiet] = "quiet", [talks] = "talks", [later] = "later", [ends] = "ends" }
      local function tell(name, readers, writers, timeout)
        local function show(list)
          local parts = {}
          for i = 1, #list do parts[i] = label[ list[i] ] .. (list[ list[i] ] == i and "+" or "-") end
          table.sort(parts)
          return table.concat(parts, ",")
        end
        local ok, readable, writable, err = pcall(socket.select, readers, writers, timeout)
        if ok then emit(name, show(readable), show(writable), err) else emit(name, "raises", readable) end
      end
      tell("now", { quiet, talks, ends }, nil, 0)
      tell("none", { quiet }, nil, 0)
      tell("writers", nil, { quiet, talks }, 0)
      tell("both", { quiet, ends }, { talks }, 1)
      tell("twice", { talks, talks }, { talks }, 1)
      later:send "go on\n"
      tell("later", { quiet, later }, nil, 20)
      emit(talks:receive(2), talks:dirty())
      tell("what is left", { talks }, nil, 0)
      emit(talks:receive(3), talks:dirty())
      tell("nothing is left", { talks }, nil, 0)
      timed("timeout", 0.08, 5, function() tell("timeout", { quiet, talks }, nil, 0.1) end)
      timed("nobody", 0.08, 5, function() tell("nobody", nil, nil, 0.1) end)
      quiet:close()
      timed("closed", 0.08, 5, function() tell("closed", { quiet }, { quiet }, 0.1) end)
      attempt("wrong", socket.select, "wrong", nil, 0)
      attempt("wrong", socket.select, {}, 1, 0)
      local sink = socket.sink("keep-open", talks)
      label[sink] = "sink"
      emit(sink.getfd() == talks:getfd(), sink.dirty())
      tell("a sink", nil, { sink }, 0)
      local source = socket.source("until-closed", ends)
      label[source] = "source"
      tell("a source", { source }, nil, 0)
    ]]
  end)

  it("connect without waiting", function()
    assert_same [[
      for _, make in ipairs { "tcp", "tcp4" } do
        local sock = socket[make]()
        sock:settimeout(0)
        local ok, err = sock:connect("127.0.0.1", port)
        emit(make, ok == 1 or err == "timeout", sock.class, sock:getfd() >= 0)
        local _, writable = socket.select(nil, { sock }, 5)
        emit(#writable)
        local ok, err = sock:connect("127.0.0.1", port)
        emit(ok == 1 or err == "already connected")
        sock:settimeout(5)
        emit(sock:send "data:send 'hello\\n'\n", sock:receive())
        sock:close()
      end
      local sock = socket.tcp4()
      sock:settimeout(0.2)
      timed("nobody answers", 0, 5, function() return (sock:connect("192.0.2.1", 81)) end)
      sock:close()
    ]]
  end)

  it("have options, as the kernel has them", function()
    assert_same [[
      for _, make in ipairs { function() return socket.tcp4() end, function() return open "data:receive '*a'" end } do
        local sock = make()
        for _, name in ipairs { "keepalive", "reuseaddr", "tcp-nodelay" } do
          for _, on in ipairs { true, false, true } do
            emit(name, sock:setoption(name, on), sock:getoption(name))
          end
        end
        for _, name in ipairs { "tcp-keepidle", "tcp-keepcnt", "tcp-keepintvl" } do
          emit(name, sock:setoption(name, 42), sock:getoption(name), sock:setoption(name, 0), sock:setoption(name, 1e6))
        end
        for _, name in ipairs { "recv-buffer-size", "send-buffer-size" } do
          emit(name, sock:setoption(name, 20000), sock:getoption(name))
        end
        emit(sock:getoption "linger", sock:setoption("linger", { on = true, timeout = 3 }), sock:getoption "linger")
        emit(sock:setoption("linger", { on = false, timeout = 0 }))
        emit(sock:getoption "error", sock:setoption("reuseport", false))
        attempt("text", sock.setoption, sock, "tcp-keepidle", "7")
        attempt("unknown", sock.getoption, sock, "ipv6-v6only")
        emit(sock:close())
      end
    ]]
  end)

  it("have unix sockets", function()
    assert_same [[
      local make = require "socket.unix"
      local sock = make()
      emit(type(make.stream), type(make.tcp), sock.class)
      attempt("nobody", sock.connect, sock, path)
      emit(sock.class, sock:getfd())
      attempt("too long", sock.connect, make(), ("x"):rep(200))
      local other = make.stream()
      attempt("receive", other.receive, other)
      emit(other:getfd() >= 0, other:dirty(), other:getsockname())
      emit(other:settimeout(1), other:close())
    ]]
  end)

  it("have try, protect and the small functions", function()
    assert_same [[
      local closed = 0
      local try = socket.newtry(function() closed = closed + 1 end)
      local guarded = socket.protect(function(...) return try(...) end)
      emit(guarded(1, 2, nil), closed)
      emit(guarded(nil, "broken", 3), closed)
      emit(guarded(false, { code = 5 }), closed)
      emit(guarded(nil), closed)
      attempt("a bug", socket.protect(function() error("a bug", 0) end))
      attempt("a table", socket.protect(function() error({ "x" }) end))
      attempt("unprotected", try, nil, "alone")
      attempt("finalizer", socket.protect(function() socket.newtry(function() error("worse", 0) end)(nil, "x") end))
      emit(socket.try(5, 6), socket.skip(1, "a", "b", "c"), socket.skip(0, 1), (socket.skip(5, 1)))
      local nested = socket.protect(function() return guarded(nil, "inner") end)
      emit(nested())
      attempt("sleep", socket.sleep, "x")
      attempt("sleep", socket.sleep, -1)
      attempt("choose", socket.choose({ a = print }), "b")
      attempt("sink", socket.sink, "nonsense", {})
      emit(type(socket.gettime()), socket.dns.gethostname() ~= nil, socket.dns.toip "127.0.0.1",
        (socket.dns.toip "localhost"), socket.dns.toip "host.invalid", socket.dns.getaddrinfo "127.0.0.1")
      emit((socket.dns.toip ""), (socket.dns.tohostname "127.0.0.1"), (socket.dns.tohostname "localhost"))
      emit((socket.dns.tohostname "host.invalid"), socket.dns.getnameinfo "127.0.0.1")
      attempt("getnameinfo", socket.dns.getnameinfo)
      emit(socket == require "socket.core", require "socket.headers" == socket.headers)
    ]]
  end)
end)
