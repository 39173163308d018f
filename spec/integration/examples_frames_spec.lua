-- SPDX-License-Identifier: MIT
--
-- examples/frames.lua: a protocol of one's own.

local examples = require "spec.support.examples"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("the example of a protocol of one's own", function()
  after_each(moongate.finish)

  local function frame(text)
    return string.char(math.floor(#text / 256), #text % 256) .. text
  end

  local function start()
    local m = moongate.start { routes = examples.text("frames", { { "9010", 0 } }) }
    return m, net.connect(m:port "frames")
  end

  local function ask(client, text)
    client:send(frame(text))
    local head = assert(client:receive(2))
    return client:receive(head:byte(1) * 256 + head:byte(2))
  end

  it("answers each frame with a frame", function()
    local _, client = start()
    assert.are.equal("+HELLO, MOON", ask(client, "upper hello, moon"))
    assert.are.equal("+nom", ask(client, "reverse mon"))
    assert.are.equal("+4000", ask(client, "length " .. ("x"):rep(4000)))
    assert.are.equal("+", ask(client, "upper"))
    assert.are.equal("-unknown command", ask(client, "shout x"))
    assert.are.equal("-unknown command", ask(client, ""))
  end)

  it("takes frames in whatever pieces they come, and several at once", function()
    local m, client = start()
    for byte in frame("upper abc"):gmatch "." do
      client:send(byte)
      m:get "/healthz" -- so that each byte is likely to be read alone
    end
    assert.are.equal(frame "+ABC", client:receive(6))
    client:send(frame "length a" .. frame "length ab")
    assert.are.equal(frame "+1" .. frame "+2", client:receive(8))
  end)

  it("refuses a frame that is too long, and ends with the client", function()
    local m, client = start()
    client:send "\255\255"
    local answer, ending = client:receive_all()
    assert.are.equal(frame "-frame too long", answer)
    assert.are.equal("end", ending)
    local short = net.connect(m:port "frames")
    short:send "\0\5ab"
    short:shutdown()
    assert.are.equal("", (short:receive_all()))
    m:await_idle()
  end)
end)
