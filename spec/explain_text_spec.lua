-- SPDX-License-Identifier: MIT
--
-- What `moongate explain` says of a client that is refused though it has a route: also for a reason, and a step, that
-- nobody has found words for.

local explain_text = require "moongate.cli.explain_text"

local function said(kept_out, more)
  local body = { port = 80, takes = "plain", client_ip = "192.0.2.7", chosen = "site", depends = 0, kept_out = kept_out,
    candidates = { { name = "site", file = "site.lua", line = 3, priority = 0, verdict = "chosen", reason = "it is",
      action = { type = "handler" } } } }
  for key, value in pairs(more or {}) do
    body[key] = value
  end
  return (explain_text.choice(body, { port = 80 }, 200):gsub("%s+", " "))
end

describe("explain says of a refusal", function()
  local config = { "limit_connections", "limit_ip", "limit_rate", "limit_addresses", "not_allowed" }

  it("which option it is by, how much that allows, and the reason", function()
    for _, reason in ipairs(config) do
      local text = said { step = "admit", reason = reason, option = "the.option", limit = 17 }
      assert.matches("But .*the%.option.*, reason " .. reason .. "%.", text)
      assert.matches("But .*192%.0%.2%.7", text)
    end
    assert.matches("security.max_connections allows (17) are open on its route", said { step = "admit",
      reason = "limit_route", option = "security.max_connections", limit = 17, route = "site", file = "site.lua",
      line = 3 }, 1, true)
    assert.matches("is refused for another 1m 30s", said { step = "admit", reason = "limit_blocked",
      option = "limits.block_for", limit = 600, seconds = 90 }, 1, true)
  end)

  it("that a route's name was taken for a domain", function()
    local body = { port = 80, takes = "plain", domain = "site", chosen = "site", depends = 0, candidates = {
      { name = "site", file = "site.lua", line = 3, priority = 0, verdict = "chosen", reason = "it is",
        action = { type = "handler" } },
    } }
    local text = explain_text.choice(body, { port = 80, domain = "site" }, 200)
    assert.matches('"site" is taken for a domain; of the route of that name tells: moongate routes site', text, 1, true)
  end)

  it("what it does not know: the step, and its reason", function()
    assert.matches('But handshake of route "site" (site.lua:3) keeps 192.0.2.7 out, reason bad_certificate.',
      said { step = "handshake", reason = "bad_certificate", route = "site", file = "site.lua", line = 3 }, 1, true)
    assert.matches("Then the step handshake decides, which explain does not run.", said(nil, {
      undecided = "handshake" }), 1, true)
    assert.matches("what becomes of it the step sniff decides", said(nil, { undecided = "sniff", chosen = false,
      candidates = {} }), 1, true)
  end)
end)
