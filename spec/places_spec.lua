-- SPDX-License-Identifier: MIT

local places = require("moongate.places")

describe("moongate.places", function()
  it("knows the control socket of root and of other users", function()
    assert.are.equal("/run/moongate.sock", places.control(true, { XDG_RUNTIME_DIR = "/run/user/7" }))
    assert.are.equal("/run/user/7/moongate.sock", places.control(false, { XDG_RUNTIME_DIR = "/run/user/7/" }))
    assert.is_nil(places.control(false, {}))
    assert.is_nil(places.control(false, { XDG_RUNTIME_DIR = "relative" }))
    assert.are.same({ "/run/moongate.sock" }, places.controls({}))
    assert.are.same({ "/run/moongate.sock", "/x/moongate.sock" }, places.controls({ XDG_RUNTIME_DIR = "/x" }))
  end)

  it("knows the state directory", function()
    assert.are.equal("/var/lib/moongate", places.state(true, {}))
    assert.are.equal("/s/moongate", places.state(false, { XDG_STATE_HOME = "/s", HOME = "/h" }))
    assert.are.equal("/h/.local/state/moongate", places.state(false, { HOME = "/h" }))
    assert.is_nil(places.state(false, {}))
  end)
end)
