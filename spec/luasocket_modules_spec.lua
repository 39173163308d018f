-- SPDX-License-Identifier: MIT
--
-- The pure-Lua part of require "socket" (lua/moongate/luasocket/): the same answers as LuaSocket's own modules give.

local cases = {
  "",
  "a",
  "ab",
  "abc",
  "hello, world",
  "\0\1\2\255\254",
  "line one\r\nline two\r\n",
  "trailing blank \r\nand tab\t\r\nend ",
  "=equals= and ümlaut",
  "bare\nnewline and bare\rreturn\r\n\r\nempty",
  ("long "):rep(60),
  ".\r\n..\r\nx.y\r\n.",
}

-- A filter's answers to a text that comes in pieces of `size`.
local function feed(filter, text, size)
  local output = {}
  for at = 1, #text, size do
    local made = filter(text:sub(at, at + size - 1))
    while made and made ~= "" do -- it may have more, and says so
      output[#output + 1] = made
      made = filter ""
    end
  end
  for _ = 1, 10 do
    local rest = filter(nil)
    if not rest then
      break
    end
    output[#output + 1] = rest
  end
  return table.concat(output)
end

describe("mime", function()
  local theirs = require "mime"
  local ours = dofile "lua/moongate/luasocket/mime.lua"

  local filters = {
    base64 = function(mime)
      return mime.encode "base64"
    end,
    ["base64, decoded"] = function(mime)
      local encode, decode = mime.encode "base64", mime.decode "base64"
      return require("ltn12").filter.chain(encode, decode)
    end,
    ["base64 in lines"] = function(mime)
      return require("ltn12").filter.chain(mime.encode "base64", mime.wrap "base64")
    end,
    ["quoted-printable"] = function(mime)
      return mime.encode "quoted-printable"
    end,
    ["quoted-printable, decoded"] = function(mime)
      return require("ltn12").filter.chain(mime.encode "quoted-printable", mime.decode "quoted-printable")
    end,
    ["lines of text"] = function(mime)
      return mime.wrap("text", 20)
    end,
    normalize = function(mime)
      return mime.normalize()
    end,
    stuff = function(mime)
      return mime.stuff()
    end,
  }
  for name, make in pairs(filters) do
    it("answers as LuaSocket's does: " .. name, function()
      for _, text in ipairs(cases) do
        for _, size in ipairs { 1, 2, 3, 7, 1000 } do
          local wanted = feed(make(theirs), text, size)
          assert.are.equal(wanted, feed(make(ours), text, size), ("%q in pieces of %d"):format(text, size))
        end
      end
    end)
  end

  it("encodes at once", function()
    assert.are.equal("aGVsbG8=", (ours.b64 "hello"))
    assert.are.equal("hello", (ours.unb64 "aGVs\r\nbG8="))
    assert.are.equal("", (ours.unb64("====", "")))
  end)

  it("never makes a quoted-printable line longer than 76, nor cuts an escape", function()
    local chain = require("ltn12").filter.chain(ours.encode "quoted-printable", ours.wrap "quoted-printable")
    local text = ("ü=long "):rep(50)
    local encoded = feed(chain, text, 13)
    for line in encoded:gmatch "[^\r\n]+" do
      assert.truthy(#line <= 76, line)
    end
    assert.are.equal(text, feed(ours.decode "quoted-printable", encoded, 5))
  end)
end)

describe("ltn12", function()
  local ltn12 = dofile "lua/moongate/luasocket/ltn12.lua"

  local function collect(source)
    local sink, chunks = ltn12.sink.table()
    assert(ltn12.pump.all(source, sink))
    return table.concat(chunks, "|")
  end

  it("pumps from sources into sinks", function()
    ltn12.BLOCKSIZE = 4
    finally(function()
      ltn12.BLOCKSIZE = 2048
    end)
    assert.are.equal("hell|o wo|rld", collect(ltn12.source.string "hello world"))
    assert.are.equal("a|b|c", collect(ltn12.source.cat(ltn12.source.table { "a", "b" }, ltn12.source.string "c")))
    assert.are.equal("", collect(ltn12.source.empty()))
  end)

  it("stops at errors of either side", function()
    local step = ltn12.pump.all(ltn12.source.error "broken", ltn12.sink.null())
    assert.is_nil(step)
    local _, err = ltn12.pump.all(ltn12.source.string "x", ltn12.sink.error "full")
    assert.are.equal("full", err)
  end)

  it("sends chunks through filters on either side, and empties them at the end", function()
    local mime = require "mime"
    local text = ("some text, "):rep(40)
    local encoded = collect(ltn12.source.chain(ltn12.source.string(text), mime.encode "base64"))
    assert.are.equal((mime.b64(text)), (encoded:gsub("|", "")))
    local sink, chunks = ltn12.sink.table()
    sink = ltn12.sink.chain(mime.encode "base64", mime.decode "base64", sink)
    assert(ltn12.pump.all(ltn12.source.string(text), sink))
    assert.are.equal(text, table.concat(chunks))
  end)

  it("gives back what a source is rewound with", function()
    local source = ltn12.source.rewind(ltn12.source.table { "b" })
    source "a"
    assert.are.equal("a|b", collect(source))
  end)
end)

describe("socket.url", function()
  local theirs = require "socket.url"
  local ours = dofile "lua/moongate/luasocket/url.lua"

  local urls = {
    "http://user:secret@host.example:8080/a/b;p?q=1#f",
    "http://host.example",
    "http://[2001:db8::1]:81/x",
    "redis://127.0.0.1:6379/1?timeout=3",
    "//host/path",
    "/absolute/path",
    "relative",
    "?query",
    "#fragment",
    "mailto:someone@example.com",
    "http://host/a%20b?c=%26",
  }

  it("parses and builds as LuaSocket's does", function()
    for _, text in ipairs(urls) do
      local wanted = theirs.parse(text)
      assert.are.same(wanted, ours.parse(text), text)
      assert.are.equal(theirs.build(wanted), ours.build(wanted), text)
    end
  end)

  it("resolves references as RFC 3986, section 5.4 does", function()
    local wanted = {
      ["g:h"] = "g:h",
      ["g"] = "http://a/b/c/g",
      ["./g"] = "http://a/b/c/g",
      ["g/"] = "http://a/b/c/g/",
      ["/g"] = "http://a/g",
      ["//g"] = "http://g",
      ["?y"] = "http://a/b/c/d;p?y",
      ["g?y"] = "http://a/b/c/g?y",
      ["#s"] = "http://a/b/c/d;p?q#s",
      ["."] = "http://a/b/c/",
      [".."] = "http://a/b/",
      ["../g"] = "http://a/b/g",
      ["../.."] = "http://a/",
      ["../../g"] = "http://a/g",
      ["../../../g"] = "http://a/g",
      ["g/../h"] = "http://a/b/c/h",
    }
    for reference, absolute in pairs(wanted) do
      assert.are.equal(absolute, ours.absolute("http://a/b/c/d;p?q", reference), reference)
    end
  end)

  it("escapes, and takes paths apart and together", function()
    assert.are.equal(theirs.escape "a b/c&ü", ours.escape "a b/c&ü")
    assert.are.equal("a b&", ours.unescape "a%20b%26")
    for _, path in ipairs { "/a/b%20c/", "a/b", "/", "" } do
      local wanted = theirs.parse_path(path)
      assert.are.same(wanted, ours.parse_path(path), path)
      assert.are.equal(theirs.build_path(wanted), ours.build_path(wanted), path)
    end
  end)
end)
