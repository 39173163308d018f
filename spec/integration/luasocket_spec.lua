-- SPDX-License-Identifier: MIT
--
-- require "socket" in route files: client libraries written for LuaSocket, unchanged as Debian has them, that wait
-- without holding up their worker.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local DEBIAN = "/usr/share/lua/5.1/"

describe("LuaSocket's interface", function()
  after_each(moongate.finish)

  -- One worker, a handler "front", and beside it "echo", which shows whether the worker is held up. Libraries are
  -- copied beside routes/, as a user would.
  local function start(body, libraries)
    local space = moongate.workspace {
      routes = ([[
        local socket = require "socket"
        local function show(...)
          local values = {}
          for i = 1, select("#", ...) do values[i] = tostring((select(i, ...))) end
          return table.concat(values, "|")
        end
        return {
          { name = "front", match = { ports = 0 }, action = { handler = function(client, context) %s end } },
          { name = "echo", match = { ports = 0 }, action = { handler = moongate.handlers.echo() } },
        }]]):format(body),
    }
    for _, name in ipairs(libraries or {}) do
      local path = space.directory .. "/" .. name
      os.execute(("mkdir -p $(dirname %s) && cp %s%s %s"):format(path, DEBIAN, name, path))
    end
    return moongate.start { space = space }
  end

  local function ask(m, text)
    local client = assert(net.connect(m:port "front"))
    client:send(text or "")
    client:shutdown()
    return (client:receive_all())
  end

  local function assert_worker_is_free(m)
    local other = assert(net.connect(m:port "echo"))
    other:send "ping\n"
    assert.are.equal("ping", other:receive_line(5))
    other:close()
  end

  local function redis()
    local port = net.free_ports(1, "127.0.0.1")
    local directory = process.directory()
    local server = process.start {
      "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory,
      "--unixsocket", directory .. "/redis.sock",
    }
    process.wait_for(function()
      assert(server:alive(), server:out())
      local connection = net.connect(port)
      return connection
    end, 10, "redis")
    return port, directory .. "/redis.sock"
  end

  it("runs lua-redis, which blocks for a second and holds up nobody", function()
    local port, path = redis()
    local m = start(
      ([[
      local redis = require "redis"
      local db = redis.connect { host = "127.0.0.1", port = %d, timeout = 10 }
      db:set("name", "moon gate\r\n")
      db:rpush("list", "a", "b")
      client:send "waiting\n"
      local popped = db:blpop("nothing", 1)
      local replies = db:pipeline(function(p) p:incr "n" p:incr "n" end)
      local fine, err = pcall(db.lpush, db, "name", 1)
      local unix = redis.connect { scheme = "unix", path = %q }
      local list = table.concat(db:lrange("list", 0, -1), ",")
      client:send(show(db:get "name", list, popped, replies[2], fine, unix:ping()))
      db:quit()
    ]]):format(port, path),
      { "redis.lua" }
    )
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("waiting", client:receive_line())
    assert_worker_is_free(m)
    assert.are.equal("moon gate\r\n|a,b|nil|2|false|true", (client:receive_all()))
  end)

  it("runs the example of its page", function()
    local text = process.read("docs/luasocket.md"):match "```lua\n(.-)```"
    text = text:gsub("port = 6379", "port = " .. redis()):gsub("ports = %d+", "ports = 0")
    local space = moongate.workspace { routes = { ["counter.lua"] = text } }
    process.write(space.directory .. "/redis.lua", process.read(DEBIAN .. "redis.lua"))
    local m = moongate.start { space = space }
    for i = 1, 2 do
      local client = assert(net.connect(m:port "counter"))
      assert.are.equal(("you are number %d\n"):format(i), (client:receive_all()))
    end
  end)

  it("runs LuaSocket's own HTTP client", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/page.txt", ("page "):rep(20000))
    local m = start(
      ([[
      local http, ltn12 = require "socket.http", require "ltn12"
      http.TIMEOUT = 10
      local base = "http://127.0.0.1:%d"
      local body, status, headers = http.request(base .. "/page.txt")
      local _, missing = http.request(base .. "/missing")
      local chunks = {}
      local ok, code = http.request { url = base .. "/page.txt", sink = ltn12.sink.table(chunks), method = "GET" }
      client:send(show(#body, status, headers["content-type"], missing, #table.concat(chunks), code,
        select(2, http.request "http://127.0.0.1:1/")))
    ]]):format(nginx.port),
      {}
    )
    assert.are.equal("100000|200|text/plain|404|100000|200|connection refused", ask(m))
  end)

  it("runs copas, whose dispatcher stands on select and on calls that do not wait", function()
    local nginx = peers.nginx()
    process.write(nginx.directory .. "/html/page.txt", ("page "):rep(20000))
    local slow = net.free_ports(1, "127.0.0.1")
    local m = start(
      ([[
      local copas = require "copas"
      local pages, naps, over = {}, {}, 0
      for i = 1, 5 do
        copas.addthread(function()
          local tcp = socket.tcp()
          assert(copas.connect(tcp, "127.0.0.1", %d))
          local page = copas.wrap(tcp)
          page:send("GET /page.txt HTTP/1.0\r\nHost: x\r\n\r\n")
          pages[i] = page:receive "*l":match " (.*)$"
          repeat local line = page:receive "*l" until line == ""
          local body, _, partial = page:receive "*a" -- copas has what came before a timeout as a prefix
          pages[i] = pages[i] .. #(body or partial)
          tcp:close()
          over = over + 1
        end)
      end
      for i = 1, 3 do
        copas.addthread(function()
          local nap = copas.wrap(assert(socket.connect("127.0.0.1", %d)))
          nap:send "now\n"
          naps[i], over = nap:receive(), over + 1
        end)
      end
      client:send "looping\n"
      repeat copas.step(1) until over == 8
      client:send(show(table.concat(pages, ","), table.concat(naps, ",")))
    ]]):format(nginx.port, slow),
      { "copas.lua", "coxpcall.lua" }
    )
    m:write(
      "slow.lua",
      ([[
      return { name = "slow", match = { ports = %d }, action = { handler = function(socket)
        local word = socket:receive()
        moongate.sleep(0.4)
        socket:send(word .. "\n")
      end } }]]):format(slow)
    )
    assert.are.equal(0, m:reload().status)
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("looping", client:receive_line())
    assert_worker_is_free(m)
    local page = "200 OK100000"
    assert.are.equal(
      table.concat({ page, page, page, page, page }, ",") .. "|now,now,now",
      (client:receive_all())
    )
  end)

  it("runs LuaSocket's SMTP client, against a handler that is slow to answer", function()
    local port = net.free_ports(1, "127.0.0.1")
    local m = start(
      ([[
      local smtp, mime, ltn12 = require "socket.smtp", require "mime", require "ltn12"
      smtp.TIMEOUT = 10
      client:send "sending\n"
      client:send(show(smtp.send {
        server = "127.0.0.1", port = %d, from = "<a@x.test>", rcpt = "<b@x.test>",
        source = smtp.message { headers = { subject = "hi" }, body = "one\r\n.two\r\n" },
      }))
    ]]):format(port),
      {}
    )
    m:write(
      "mail.lua",
      ([[
      return { name = "mail", match = { ports = %d }, action = { handler = function(socket)
        socket:send "220 ready\r\n"
        local text = {}
        for line in socket:lines() do
          moongate.sleep(0.1)
          if line == "DATA" then
            socket:send "354 go on\r\n"
            local mail = socket:receiveuntil "\r\n.\r\n" ()
            moongate.log.info("mail", { text = mail:gsub("\r\n", "/") })
            socket:send "250 kept\r\n"
          elseif line == "QUIT" then
            return socket:send "221 bye\r\n"
          else
            socket:send "250 yes\r\n"
          end
        end
      end } }]]):format(port)
    )
    assert.are.equal(0, m:reload().status)
    local client = assert(net.connect(m:port "front"))
    assert.are.equal("sending", client:receive_line())
    assert_worker_is_free(m)
    assert.are.equal("1", (client:receive_all()))
    m:await_log "mail.-/one/%.%.two/"
  end)

  it("has sockets that answer as LuaSocket's", function()
    local echo = peers.server "echo"
    local m = start(([[
      local tcp = socket.tcp()
      local before = show((pcall(tcp.send, tcp, "x")), (pcall(tcp.receive, tcp, 1)))
      tcp:settimeout(0.2)
      tcp:setoption("tcp-nodelay", true)
      local connected = tcp:connect("127.0.0.1", %d)
      local sent = tcp:send("hello world", 1, 5)
      local got = tcp:receive(3)
      local late = show(tcp:receive(10))
      local address, port = tcp:getpeername()
      local received, out = tcp:getstats()
      local nodelay = tcp:getoption "tcp-nodelay"
      client:send(show(before, connected, sent, got, late, address, received, out, nodelay, tcp:close(), tcp:close(),
        show(tcp:receive())))
    ]]):format(echo.port))
    assert.are.equal(
      "false|false|1|5|hel|nil|timeout|lo|127.0.0.1|5|5|true|1|1|nil|closed|",
      ask(m)
    )
  end)

  it("has gettime, sleep, select, dns and the functions for errors", function()
    local echo = peers.server "echo"
    local m = start(([[
      local began = socket.gettime()
      socket.sleep(0.05)
      local tcp = assert(socket.connect("127.0.0.1", %d))
      local none, _, why = socket.select({ tcp }, nil, 0.05)
      tcp:send "x"
      local readable = socket.select({ tcp }, nil, 5)
      local closed = false
      local try = socket.newtry(function() closed = true end)
      local fn = socket.protect(function() try(nil, "broken") end)
      local other = socket.protect(function() error("a bug", 0) end)
      client:send(show(socket.gettime() - began >= 0.05, #none, why, readable[1] == tcp and readable[tcp] == 1,
        show(fn()), closed, show(pcall(other)),
        socket.dns.toip "localhost", show(socket.skip(1, "a", "b")), socket._VERSION:match "^%%a+",
        type(require "socket.core"), require "ltn12" == require "ltn12"))
    ]]):format(echo.port))
    assert.are.equal(
      "true|0|timeout|true|nil|broken|true|false|a bug|127.0.0.1|b|LuaSocket|table|true",
      ask(m)
    )
  end)

  it("selects without holding anybody up, a handler's own socket too, until its connection ends", function()
    local echo = peers.server "echo"
    local m = start(([[
      if client:receive() == "later" then
        moongate.spawn(function()
          moongate.sleep(0.2)
          client:send "still here\n"
        end)
        local readable = socket.select({ client }, nil, 10)
        return client:send(show(readable[1] == client, readable[client], client:dirty(), client:receive()) .. "\n")
      end
      local quiet = assert(socket.connect("127.0.0.1", %d))
      moongate.spawn(function() socket.select({ quiet, client }) end)
      moongate.spawn(function() socket.select({ quiet }, nil, 100) end)
      local none, never = socket.tcp4(), socket.tcp4()
      none:close()
      moongate.spawn(function() socket.select({ none, never }) end)
    ]]):format(echo.port))
    local client = assert(net.connect(m:port "front"))
    client:send "later\n"
    assert.are.equal("still here", client:receive_line())
    assert_worker_is_free(m)
    client:send "hello\n"
    assert.are.equal("true|1|true|hello", client:receive_line())
    client:close()
    m:await_idle()
    local before = m:fds()
    for _ = 1, 20 do
      local one = assert(net.connect(m:port "front"))
      one:send "now\n"
      assert.are.equal("", (one:receive_all()))
      one:close()
    end
    process.wait_for(function()
      return m:fds() <= before
    end, 20, "what the selects held")
  end)

  it("says that listening and UDP are not offered", function()
    local m = start [[
      client:send(show(pcall(socket.bind, "*", 80)) .. "\n" .. show(pcall(function() socket.tcp():listen() end)) .. "\n"
        .. show(pcall(socket.udp)))
    ]]
    local answer = ask(m)
    assert.truthy(answer:find("socket.bind is not offered in moongate: a route listens", 1, true))
    assert.truthy(answer:find("routes.lua:%d+: socket:listen is not offered"), answer)
    assert.truthy(answer:find("socket.udp is not offered", 1, true))
  end)
end)
