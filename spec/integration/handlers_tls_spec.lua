-- SPDX-License-Identifier: MIT
--
-- starttls both ways, and moongate.connect with tls: against OpenSSL's own programs, and against each other.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

describe("TLS in handlers", function()
  local keys

  -- A certificate authority, and what it has signed for "site.test" and for a client.
  setup(function()
    keys = assert(require("posix.stdlib").mkdtemp "/tmp/moongate-keys-XXXXXX")
    local function run(line)
      local result = process.run({ "sh", "-c", line }, { cwd = keys })
      assert.are.equal(0, result.status, result.err)
    end
    local curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    run("openssl req -x509 " .. curve .. " -keyout ca.key -out ca.pem -days 3 -subj /CN=authority")
    for _, name in ipairs { "site", "client" } do
      run(("openssl req %s -keyout %s.key -out %s.csr -subj /CN=%s.test"):format(curve, name, name, name))
      run(
        ("printf 'subjectAltName=DNS:%s.test' >%s.ext; openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key "
          .. "-CAcreateserial -out %s.pem -days 3 -extfile %s.ext"):format(name, name, name, name, name)
      )
    end
    run("openssl x509 -req -in site.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out nameless.pem -days 3")
  end)

  teardown(function()
    os.execute("rm -r " .. keys)
  end)

  after_each(moongate.finish)

  local show = [[
    local function show(...)
      local values = {}
      for i = 1, select("#", ...) do values[i] = tostring((select(i, ...))) end
      return table.concat(values, "|")
    end
  ]]

  -- One route a name, with the body of its handler. "KEYS" stands for the directory of the keys.
  local function start(bodies, options)
    local routes = {}
    for name, body in pairs(bodies) do
      local handler = ("function(socket, context) %s end"):format((body:gsub("KEYS", keys)))
      routes[#routes + 1] = ("{ name = %q, match = { ports = 0 }, action = { handler = %s } }"):format(name, handler)
    end
    options = options or {}
    options.routes = show .. "return { " .. table.concat(routes, ", ") .. " }"
    return moongate.start(options)
  end

  -- The same, in two steps: the second route needs the first one's port.
  local function start_both(server, client)
    local port = net.free_ports(1, "127.0.0.1")
    local routes = show
      .. ([[
      return {
        { name = "back", match = { ports = %d }, action = { handler = function(socket, context) %s end } },
        { name = "front", match = { ports = 0 }, action = { handler = function(socket, context) %s end } },
      }]]):format(port, server, (client:gsub("PORT", port)))
    return moongate.start { routes = (routes:gsub("KEYS", keys)) }
  end

  local function ask(m, text)
    local client = assert(net.connect(m:port "front"))
    if text then
      client:send(text)
      client:shutdown()
    end
    return (client:receive_all())
  end

  local SMTP = [[
    socket:settimeout(10)
    socket:send "220 ready\r\n"
    for line in socket:lines() do
      if line:find "^EHLO" then
        socket:send "250-here\r\n250 STARTTLS\r\n"
      elseif line == "STARTTLS" then
        socket:send "220 go ahead\r\n"
        assert(socket:starttls())
      else
        local tls = socket:tls() or {}
        socket:send(("you said %s over %s for %s\r\n"):format(line, tls.version, tls.server_name))
        return
      end
    end
  ]]

  it("serves openssl's STARTTLS with a certificate made for the occasion", function()
    local m = start { front = SMTP }
    local path = process.write(process.directory() .. "/input", "hello\r\n")
    local result = process.run({
      "openssl",
      "s_client",
      "-quiet",
      "-no_ign_eof",
      "-ign_eof",
      "-starttls",
      "smtp",
      "-servername",
      "mail.test",
      "-connect",
      "127.0.0.1:" .. m:port "front",
    }, { input = path })
    assert.truthy(result.out:find("you said hello over TLSv1.3 for mail.test", 1, true), result.out .. result.err)
    m:await_idle()
  end)

  it("serves curl with a certificate that is given, and agrees on a protocol", function()
    local m = start {
      front = [[
        socket:settimeout(10)
        local ok, err, detail = socket:starttls {
          certificate = { cert = "KEYS/site.pem", key = "KEYS/site.key" }, alpn = { "http/1.1" },
        }
        if not ok then moongate.log.error(err, { detail = detail }) return end
        repeat local line = assert(socket:receive()) until line == ""
        local body = socket:tls().alpn .. " " .. ("x"):rep(300000)
        socket:send { "HTTP/1.1 200 OK\r\nContent-Length: ", #body, "\r\nConnection: close\r\n\r\n", body }
      ]],
    }
    local port = m:port "front"
    local result = process.run {
      "curl", "-sS", "--cacert", keys .. "/ca.pem", "--resolve", ("site.test:%d:127.0.0.1"):format(port),
      ("https://site.test:%d/"):format(port),
    }
    assert.are.equal("", result.err)
    assert.are.equal("http/1.1 " .. ("x"):rep(300000), result.out)
    m:await_idle()
    assert.truthy(m:metric 'route_bytes_total{route="front",direction="out"}' > 300000)
  end)

  it("connects to a server whose certificate the authority has signed, and is heard", function()
    local m = start_both(
      [[socket:starttls { certificate = { cert = "KEYS/site.pem", key = "KEYS/site.key" } }
        socket:send("you said " .. socket:receive() .. "\n")]],
      [[local back, err, detail = moongate.connect("127.0.0.1", PORT,
          { timeout = 10, tls = { ca = "KEYS/ca.pem", server_name = "site.test" } })
        if not back then return socket:send(show(err, detail)) end
        back:send "hi\n"
        socket:send(show(back:receive "*a"))]]
    )
    assert.are.equal("you said hi\n", ask(m))
  end)

  it("tells who the client is, where a certificate is asked of it", function()
    local server = [[
      socket:settimeout(10)
      local ok, err, detail = socket:starttls {
        certificate = { cert = "KEYS/site.pem", key = "KEYS/site.key" }, client_ca = "KEYS/ca.pem" }
      if not ok then moongate.log.warn("refused", { why = err, detail = detail }) return end
      socket:send(socket:tls().peer)]]
    local m = start_both(
      server,
      [[local with = socket:receive() == "with" and { cert = "KEYS/client.pem", key = "KEYS/client.key" } or nil
        local back, err, detail = moongate.connect("127.0.0.1", PORT, { timeout = 10,
          tls = { ca = "KEYS/ca.pem", server_name = "site.test", certificate = with, min_version = "1.2" } })
        socket:send(back and show(back:receive "*a") or show(nil, err))]]
    )
    assert.are.equal("CN=client.test", ask(m, "with\n"))
    assert.are.equal("nil|protocol error|", ask(m, "without\n"))
    m:await_log 'refused.-certificate not trusted'
  end)

  it("trusts nobody unknown, and no other name, unless it is told to", function()
    local m = start_both(
      [[if socket:starttls { certificate = { cert = "KEYS/site.pem", key = "KEYS/site.key" } } then
          socket:send "in" end]],
      [[local options = { system = true, other = { ca = "KEYS/ca.pem", server_name = "other.test" },
          address = { ca = "KEYS/ca.pem" }, blind = { verify = false } }
        local back, err, detail = moongate.connect("127.0.0.1", PORT, { timeout = 10, tls = options[socket:receive()] })
        socket:send(show(back and back:receive "*a", err, detail))]]
    )
    assert.truthy(ask(m, "system\n"):find "^nil|certificate not trusted|unable to get local issuer certificate")
    assert.are.equal("nil|certificate not trusted|hostname mismatch", ask(m, "other\n"):lower())
    assert.truthy(ask(m, "address\n"):lower():find "^nil|certificate not trusted|ip address mismatch")
    assert.are.equal("in|nil|nil", ask(m, "blind\n"))
  end)

  it("takes no subject for a name: a certificate has to have the name among its SANs", function()
    local m = start_both(
      [[if socket:starttls { certificate = { cert = "KEYS/nameless.pem", key = "KEYS/site.key" } } then
          socket:send "in" end]],
      [[local back, err, detail = moongate.connect("127.0.0.1", PORT, { timeout = 10,
          tls = { ca = "KEYS/ca.pem", server_name = "site.test" } })
        socket:send(show(back and back:receive "*a", err, detail))]]
    )
    assert.are.equal("nil|certificate not trusted|hostname mismatch", ask(m):lower())
  end)

  it("starts TLS later on what connect gave, with the name that was connected to", function()
    local m = start_both(
      [[socket:send "go\n" socket:starttls() socket:send(socket:tls().server_name or "no name")]],
      [[local back = assert(moongate.connect("localhost", PORT))
        back:receive()
        assert(back:starttls { verify = false })
        socket:send(show(back:receive "*a"))]]
    )
    assert.are.equal("localhost", ask(m))
  end)

  it("takes what the client has sent right behind STARTTLS for TLS, and never for plain text", function()
    local m = start { front = SMTP }
    local client = assert(net.connect(m:port "front"))
    client:send "EHLO x\r\nSTARTTLS\r\ninjected\r\n"
    local all = client:receive_all()
    assert.falsy(all:find "you said")
    m:await_log "handshake failed"
  end)

  it("refuses what a server has said before TLS began", function()
    local m = start_both(
      [[socket:send "220 go\r\n250 injected\r\n" moongate.sleep(1)]],
      [[local back = assert(moongate.connect("127.0.0.1", PORT))
        back:receive()
        back:peek(5)
        socket:send(show(back:starttls { verify = false }))
        socket:send(show(back:receive()))]]
    )
    local why = "the server has sent something before TLS began"
    assert.are.equal("nil|handshake failed|" .. why .. "nil|closed|", ask(m))
  end)

  it("gives up on a handshake that nobody goes on with", function()
    local m = start {
      front = [[socket:settimeout(0.2) local ok, err = socket:starttls()
        moongate.log.warn("given up", { why = err, again = show(socket:receive()) })]],
    }
    local client = assert(net.connect(m:port "front"))
    m:await_log "given up.-why=timeout"
    client:receive_all()
    m:await_idle()
  end)

  it("never takes a connection that was cut for one that has ended", function()
    local m = start_both(
      [[socket:starttls() socket:send "half a mess" moongate.log.info "sent"
        socket:receive() error "and now it breaks"]],
      [[local back = assert(moongate.connect("127.0.0.1", PORT, { tls = { verify = false } }))
        local start = back:receive(4)
        back:send "break\n"
        socket:send(show(start, back:receive "*a"))]]
    )
    local answer = ask(m)
    assert.truthy(answer:find "^half|nil|")
    assert.truthy(answer:find "|truncated|" or answer:find "|closed|", answer)
  end)

  it("pipes and forwards what comes out of TLS", function()
    local echo = peers.server "echo"
    local m = start_both(
      [[socket:starttls()
        if socket:peek(4) == "pipe" then
          local there = assert(moongate.connect("127.0.0.1", ]] .. echo.port .. [[))
          moongate.log.info(show("piped", socket:pipe(there)))
        else
          context:forward("127.0.0.1", ]] .. echo.port .. [[)
        end]],
      [[local back = assert(moongate.connect("127.0.0.1", PORT, { tls = { verify = false } }))
        socket:pipe(back)]]
    )
    for _, how in ipairs { "pipe", "forward" } do
      local text = how .. ("0123456789abcdef"):rep(40000)
      local client = assert(net.connect(m:port "front"))
      local sent, received = 0, {}
      while sent < #text do
        assert(client:send(text:sub(sent + 1, sent + 32000)))
        sent = sent + 32000
        received[#received + 1] = client:receive(math.min(32000, #text - (sent - 32000)))
      end
      client:shutdown()
      received[#received + 1] = (client:receive_all())
      assert.are.equal(#text, #table.concat(received))
      assert.are.equal(text, table.concat(received))
      client:close()
    end
    m:await_idle()
  end)

  it("tells the target of a forwarded client what was agreed upon, and who it is, in a PROXY header", function()
    local target, port = net.listen(), net.free_ports(1, "127.0.0.1")
    local routes = [[return {
      { name = "back", match = { ports = BACK }, action = {
        send_proxy_protocol = 2,
        handler = function(socket, context)
          local ca = context.client_ip == "127.0.0.1" and socket:receive() == "ask" and "KEYS/ca.pem" or nil
          if socket:starttls { certificate = { cert = "KEYS/site.pem", key = "KEYS/site.key" }, client_ca = ca,
            alpn = { "h2" } } then context:forward("127.0.0.1", TARGET) end
        end } },
      { name = "front", match = { ports = 0 }, action = { handler = function(socket)
        local back = assert(moongate.connect("127.0.0.1", BACK))
        back:send(socket:receive() .. "\n")
        assert(back:starttls { ca = "KEYS/ca.pem", server_name = "site.test", alpn = { "h2" },
          certificate = { cert = "KEYS/client.pem", key = "KEYS/client.key" } })
        back:send "hello"
        socket:receive()
      end } },
    }]]
    routes = routes:gsub("KEYS", keys):gsub("BACK", port):gsub("TARGET", (target:port()))
    local m = moongate.start { routes = routes }
    for how, flags in pairs { ask = "\7\0\0\0\0", plain = "\1\0\0\0\1" } do
      local client = assert(net.connect(m:port "front"))
      client:send(how .. "\n")
      local served = assert(target:accept())
      local head = served:receive(16)
      assert.are.equal("\r\n\r\n\0\r\nQUIT\n\33\17", head:sub(1, 14))
      local body = served:receive(head:byte(15) * 256 + head:byte(16))
      assert.are.equal("hello", (served:receive(5)))
      local tls = body:sub(13):match("^\1%z\2h2\2%z\9site%.test %z(.+)$")
      assert.truthy(tls, body)
      assert.are.equal(#tls - 1, tls:byte(1))
      assert.are.equal(flags, tls:sub(2, 6))
      assert.truthy(tls:find("\33\0\7TLSv1.3\35\0\22TLS_AES_256_GCM_SHA384", 1, true), tls)
      assert.are.equal(how == "ask", tls:find("\34\0\11client.test", 1, true) ~= nil)
      served:close()
      client:close()
    end
    m:await_idle()
  end)

  it("says what is wrong with the options", function()
    local m = start {
      front = [[
        local function try(options) return show(pcall(socket.starttls, socket, options)) .. "\n" end
        socket:send {
          try { certificates = {} }, try { certificate = "KEYS/site.pem" }, try { min_version = "1.1" },
          try { alpn = { "" } }, try(7), try { certificate = { cert = "/nowhere", key = "KEYS/site.key" } },
          try { certificate = { cert = "KEYS/site.pem", key = "KEYS/client.key" } },
        }]],
    }
    local answer = ask(m)
    local lines = {}
    for line in answer:gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    local wanted = "false|bad argument #1 to 'socket:starttls' (there is no option 'certificates'"
    assert.truthy(lines[1]:find(wanted, 1, true))
    assert.truthy(lines[2]:find("certificate = { cert = path or PEM, key = path or PEM } expected", 1, true))
    assert.truthy(lines[3]:find('min_version = "1.2" or "1.3" expected', 1, true))
    assert.truthy(lines[4]:find("alpn = the names of protocols", 1, true))
    assert.truthy(lines[5]:find("a table of options expected, got number", 1, true))
    assert.are.equal("true|nil|bad certificate|certificate: /nowhere: No such file or directory", lines[6])
    assert.truthy(lines[7]:find("true|nil|bad certificate|the key does not belong to the certificate", 1, true))
  end)

  it("is not begun twice, nor while somebody else uses the socket", function()
    local m = start_both(
      [[socket:starttls()
        local again = show(pcall(socket.starttls, socket))
        moongate.spawn(function() socket:receive() end)
        moongate.sleep(0)
        socket:send(again .. "\n")]],
      [[local back = assert(moongate.connect("127.0.0.1", PORT))
        moongate.spawn(function() back:starttls { verify = false } end)
        moongate.sleep(0)
        local busy = show(pcall(back.send, back, "x"))
        moongate.sleep(0.5)
        socket:send(busy .. "\n" .. show(back:receive()))]]
    )
    local answer = ask(m)
    assert.truthy(answer:find "the socket is busy")
    assert.truthy(answer:find "this socket has TLS already")
  end)
end)
