-- SPDX-License-Identifier: MIT
--
-- The handlers that moongate brings along: echo, line, block, proxy, http_response.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"

describe("the ready handler", function()
  after_each(moongate.finish)

  local function start(handler)
    return moongate.start { routes = moongate.front("handler = " .. handler) }
  end

  describe("echo", function()
    it("answers what it is sent, and ends when the client has", function()
      local m = start "moongate.handlers.echo()"
      local client = net.connect(m:port "front")
      for _, text in ipairs { "a", "some words\n", ("x"):rep(10000) } do
        client:send(text)
        assert.are.equal(text, (client:receive(#text)))
      end
      client:send "last"
      client:shutdown()
      assert.are.same({ "last", "end" }, { client:receive_all() })
      m:await_idle()
    end)

    it("loses no byte of many connections", function()
      local m = start "moongate.handlers.echo()"
      local counted = peers.clients {
        port = m:port "front", connections = 60, parallel = 6, kinds = "echo", up = { 0, 1, 1000, "64k", "300k" },
      }
      assert.are.equal(0, counted.failed, counted.errors)
      m:await_idle()
      assert.are.equal(counted.sent, m:metric 'bytes_total{direction="in"}')
      assert.are.equal(counted.received, m:metric 'bytes_total{direction="out"}')
    end)
  end)

  describe("line", function()
    local echo_line = [[moongate.handlers.line(function(line, socket, context)
      if line == "quit" then
        socket:send "bye\n"
        socket:close()
      else
        socket:send(context.client_ip .. " " .. #line .. " " .. line .. "\n")
      end
    end)]]

    it("is called for each line, however the lines are cut into packets", function()
      local m = start(echo_line)
      local client = net.connect(m:port "front")
      client:send "one\r\ntw"
      assert.are.equal("127.0.0.1 3 one", client:receive_line())
      client:send "o\n\nthree\n"
      assert.are.equal("127.0.0.1 3 two", client:receive_line())
      assert.are.equal("127.0.0.1 0 ", client:receive_line())
      assert.are.equal("127.0.0.1 5 three", client:receive_line())
      client:send "quit\n"
      assert.are.same({ "bye\n", "end" }, { client:receive_all() })
    end)

    it("ends when the client has", function()
      local m = start(echo_line)
      local client = net.connect(m:port "front")
      client:send "one\n"
      client:shutdown()
      assert.are.same({ "127.0.0.1 3 one\n", "end" }, { client:receive_all() })
      m:await_idle()
    end)

    it("ends on a line without end, which it does not take into memory", function()
      local m = start(echo_line)
      local client = net.connect(m:port "front")
      local before = m:rss()
      for _ = 1, 64 do
        if not client:send(("x"):rep(1024 * 1024)) then
          break
        end
      end
      if not moongate.sanitized then
        assert.truthy(m:rss() - before < 16 * 1024 * 1024)
      end
      local bytes, how = client:receive_all()
      assert.are.equal("", bytes)
      assert.are_not.equal("timeout", how)
      client:close()
      m:await_idle()
    end)
  end)

  describe("block", function()
    it("says its message and closes", function()
      local m = start 'moongate.handlers.block("go away\\n")'
      local client = net.connect(m:port "front")
      client:send "please"
      assert.are.same({ "go away\n", "end" }, { client:receive_all() })
    end)

    it("closes without a message", function()
      local m = start "moongate.handlers.block()"
      local client = net.connect(m:port "front")
      assert.are.equal("", (client:receive_all()))
      client:close()
      m:await_idle()
    end)
  end)

  describe("proxy", function()
    it("forwards to its target", function()
      local server = peers.server()
      local m = start(("moongate.handlers.proxy('127.0.0.1', %d)"):format(server.port))
      local counted = peers.clients {
        port = m:port "front",
        connections = 40,
        parallel = 4,
        kinds = { "exchange", "half" },
        up = { 0, "100k", 1 },
        down = { "3m", 1 },
      }
      assert.are.equal(0, counted.failed, counted.errors)
      m:await_idle()
    end)

    it("ends the connection when its target refuses", function()
      local m = start(("moongate.handlers.proxy('127.0.0.1', %d)"):format(net.refusing_port()))
      local bytes, how = net.connect(m:port "front"):receive_all()
      assert.are.equal("", bytes)
      assert.are_not.equal("timeout", how)
      m:await_idle()
    end)
  end)

  describe("http_response", function()
    local gone = [[moongate.handlers.http_response {
      status = 410, headers = { ["X-Reason"] = "moved out", ["Content-Type"] = "text/plain" }, body = "gone\n",
    }]]

    it("answers curl with status, headers and body", function()
      local m = start(gone)
      local answer = peers.curl { "-i", ("http://127.0.0.1:%d/any/path"):format(m:port "front") }
      assert.are.equal(0, answer.status, answer.err)
      assert.truthy(answer.out:match "^HTTP/1%.1 410 Gone\r\n", answer.out)
      assert.truthy(answer.out:lower():find("\r\nx-reason: moved out\r\n", 1, true), answer.out)
      assert.truthy(answer.out:lower():find("\r\ncontent-length: 5\r\n", 1, true), answer.out)
      assert.are.equal("gone\n", answer.out:match "\r\n\r\n(.*)$")
    end)

    it("answers HEAD without a body, and several requests, and a request with a body", function()
      local m = start(gone)
      local url = ("http://127.0.0.1:%d/"):format(m:port "front")
      local head = peers.curl { "-I", url }
      assert.are.equal(0, head.status, head.err)
      assert.truthy(head.out:match "^HTTP/1%.1 410")
      local several = peers.curl { url, url, url }
      assert.are.equal("gone\ngone\ngone\n", several.out, several.err)
      local post = peers.curl { "--data-binary", ("x"):rep(30000), url }
      assert.are.equal("gone\n", post.out, post.err)
    end)

    it("answers what is no HTTP with an error or an end", function()
      local m = start(gone)
      local client = net.connect(m:port "front")
      client:send "\0\1\2\3 nonsense\r\n\r\n"
      local bytes, how = client:receive_all()
      assert.are.equal("end", how)
      assert.truthy(bytes == "" or bytes:match "^HTTP/1%.1 [34]%d%d ", bytes)
    end)
  end)
end)
