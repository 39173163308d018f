-- SPDX-License-Identifier: MIT
--
-- Run it with: moongate test spec/routes/page_spec.lua

local testing = require "moongate.testing"

describe("routes/page.lua", function()
  local m

  setup(function()
    m = testing.start({ routes = "routes/page.lua" })
  end)

  teardown(function()
    m:stop()
  end)

  it("is a page of HTML", function()
    local answer = assert(m:get "http://localhost:8080/")
    assert.equal(200, answer.status)
    assert.equal("text/html; charset=utf-8", answer.headers["content-type"])
    assert.matches("<title>moongate</title>", answer.body, 1, true)
  end)

  it("is counted", function()
    local before = m:metrics()['moongate_connections_total']
    m:get "http://localhost:8080/"
    assert.equal(before + 1, m:metrics()['moongate_connections_total'])
  end)
end)
