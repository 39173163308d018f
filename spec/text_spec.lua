-- SPDX-License-Identifier: MIT

local text = require("moongate.text")

describe("moongate.text", function()
  it("reads durations as whole milliseconds", function()
    for written, ms in pairs({
      ["500ms"] = 500,
      ["90s"] = 90000,
      ["5m"] = 300000,
      ["4h"] = 14400000,
      ["0"] = false,
      [""] = false,
    }) do
      assert.are.equal(ms or nil, text.duration(written))
    end
    assert.are.equal(30 * 86400000, text.duration("30d"))
    assert.are.equal(1500, text.duration("1.5s"))
    assert.are.equal(1500, text.duration(1.5))
    assert.are.equal(0, text.duration(0))
  end)

  it("never rounds a duration down to off", function()
    assert.are.equal(1, text.duration(0.0001))
    assert.are.equal(1, text.duration("0.1ms"))
    assert.are.equal(0, text.duration("0s"))
  end)

  it("takes nothing else for a duration", function()
    for _, value in ipairs({ "5", "5 parsecs", "-5s", "s", "1e3s", -1, 0 / 0, math.huge, true, {} }) do
      assert.is_nil(text.duration(value))
    end
  end)

  it("reads sizes in bytes and rates in bytes a second", function()
    assert.are.equal(65536, text.size("64k"))
    assert.are.equal(1048576, text.size("1m"))
    assert.are.equal(1048576, text.size("1MB"))
    assert.are.equal(17, text.size(17))
    assert.is_nil(text.size("1x"))
    assert.are.equal(1250000, text.rate("10mbps"))
    assert.are.equal(1250000000, text.rate("10gbps"))
    assert.are.equal(99, text.rate(99))
    assert.is_nil(text.rate("10m"))
  end)

  it("finds the name that was meant, and none when nothing is near", function()
    local names = { "handler", "target", "targets", "half_open", "connect" }
    assert.are.equal("handler", text.nearest("hadnler", names))
    assert.are.equal("target", text.nearest("tagret", names))
    assert.are.equal("half_open", text.nearest("halfOpen", names))
    assert.are.equal("half_open", text.nearest("half-open", names))
    assert.is_nil(text.nearest("colour", names))
    assert.is_nil(text.nearest(("x"):rep(10000), names))
  end)

  it("shows values on one line", function()
    assert.are.equal('"a\\10\\"b\\\\"', text.show('a\n"b\\'))
    assert.are.equal(62, #text.show(("x"):rep(1000)))
    assert.are.equal("70000", text.show(70000))
    assert.are.equal("0.5", text.show(0.5))
    assert.are.equal("a table", text.show({}))
    assert.are.equal("nothing", text.show(nil))
  end)

  it("formats durations and bytes for people", function()
    assert.are.equal("0s", text.format_duration(0))
    assert.are.equal("0.5s", text.format_duration(0.5))
    assert.are.equal("2m 5s", text.format_duration(125))
    assert.are.equal("4d 3h", text.format_duration(4 * 86400 + 3 * 3600 + 59))
    assert.are.equal("1d", text.format_duration(86400 + 59))
    assert.are.equal("0 B", text.format_bytes(0))
    assert.are.equal("1023 B", text.format_bytes(1023))
    assert.are.equal("1.5 KiB", text.format_bytes(1536))
    assert.are.equal("3.0 GiB", text.format_bytes(3 * 1024 ^ 3))
  end)
end)
