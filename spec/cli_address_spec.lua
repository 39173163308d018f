-- SPDX-License-Identifier: MIT

local address = require("moongate.cli.address")

describe("moongate.cli.address", function()
  it("reads what people write for a connection to there", function()
    for word, wanted in pairs({
      ["https://a.example.com/x?y"] = { port = 443, domain = "a.example.com", tls = true, path = "/x?y" },
      ["http://user:secret@a.example.com:8080/"] = { port = 8080, domain = "a.example.com", tls = false },
      ["WSS://a.example.com"] = { port = 443, domain = "a.example.com", tls = true },
      ["a.example.com:443"] = { port = 443, domain = "a.example.com" },
      ["a.example.com"] = { domain = "a.example.com" },
      ["tcp://db:5432"] = { port = 5432, domain = "db" },
      ["443"] = { port = 443 },
      [":443"] = { port = 443 },
      ["127.0.0.1:443"] = { port = 443, address = "127.0.0.1" },
      ["[2001:db8::1]:443"] = { port = 443, address = "2001:db8::1" },
      ["2001:db8::1"] = { address = "2001:db8::1" },
      ["https://[::1]/"] = { port = 443, address = "::1", tls = true },
    }) do
      assert.are.same(wanted, address.parse(word), word)
    end
  end)

  it("says what is wrong", function()
    for _, word in ipairs({ "", "a:b", "a:0", "a:65536", "99999", ":", "https://", "[::1]443", "a b:1" }) do
      local found, wrong = address.parse(word)
      assert.is_nil(found, word)
      assert.is_string(wrong)
    end
  end)

  it("knows the id of a connection", function()
    assert.is_true(address.is_connection("3-17"))
    for _, word in ipairs({ "3", "a-b", "3-17x", "-3-17", "10.0.0.1" }) do
      assert.is_false(address.is_connection(word))
    end
  end)
end)
