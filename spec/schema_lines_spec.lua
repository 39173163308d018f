-- SPDX-License-Identifier: MIT

local Lexer = require("moongate.schema.lexer")
local Lines = require("moongate.schema.lines")

-- The line of the path in a source, in which "@" marks the line that is meant, and is taken out.
local function expect(source, ...)
  local before = source:match("^(.-)@")
  local _, newlines = before:gsub("\n", "")
  local lines = Lines.new((source:gsub("@", "", 1)))
  assert.are.equal(newlines + 1, lines:find({ ... }), source)
end

describe("the lexer", function()
  local function tokens(source)
    local lexer, list = Lexer.new(source), {}
    for _ = 1, 10000 do
      local token = lexer:next()
      if token.kind == "end" then
        return list, token.line
      end
      list[#list + 1] = token
    end
    error("no end")
  end

  local function values(source)
    local list = {}
    for i, token in ipairs((tokens(source))) do
      list[i] = token.value
    end
    return list
  end

  it("knows strings, numbers, names and operators", function()
    assert.are.same({ "a", "=", 1, "..", "b", ",", 16, 1e10, 0.5 }, values([[a = 1 .. "b", 0x10 1e+10 .5]]))
    assert.are.same({ "a", "...", "==", "~=", "<=", ">=", "::", "." }, values("a ... == ~= <= >= :: ."))
    assert.are.same({ 'x"y', "it's", "a\nb", "A", "A", "end" }, values([["x\"y" 'it\'s' "a\nb" "\65" "\x41" 'end']]))
    assert.are.same({ "]]", "x" }, values("[==[]]]==] x"))
    assert.are.same({ "a b", "c" }, values('"a \\z\n   b" c'))
  end)

  it("counts lines through comments, long strings and escapes", function()
    local list, last = tokens('--[[\n\n]] a [[\n\n]] b "x\\\ny" c -- end\n--[==[ ]] \n]==] d\n')
    local at = {}
    for _, token in ipairs(list) do
      at[#at + 1] = token.line
    end
    assert.are.same({ 3, 3, 5, 5, 6, 8 }, at)
    assert.are.equal(9, last)
  end)

  it("counts each line ending once", function()
    for _, ending in ipairs({ "\n", "\r\n", "\r" }) do
      assert.are.equal(3, tokens("a" .. ending .. "b" .. ending .. "c")[3].line)
    end
  end)

  it("passes over what an editor or a shell puts first", function()
    assert.are.equal(2, tokens("#!/usr/bin/moongate\nx")[1].line)
    assert.are.same({ "x" }, values("\239\187\191x"))
  end)

  it("comes to an end of whatever it is given", function()
    for _, source in ipairs({ "", "'", '"\\', "[[", "[==[ ]]", "--[[", "\\", "0x", "1e+", "[=", "$", "\255" }) do
      tokens(source)
      Lines.new("return {" .. source)
      Lines.new("return { a = " .. source)
      Lines.new("local x = {" .. source .. " return x")
      Lines.new("function " .. source)
      Lines.new("return { [" .. source)
    end
  end)
end)

describe("the line of a field", function()
  it("is that of its key", function()
    expect('return {\n  name = "x",\n  @match = {\n    ports = 1,\n  },\n}', "match")
    expect('return {\n  name = "x",\n  match =\n  {\n    @ports\n = 1,\n  },\n}', "match", "ports")
    expect('return {\n  ["name"] = "x";\n  @["match"] = {}\n}', "match")
    expect("return {\n  [ [==[match]==] ] = {\n @['ports'] = 1 },\n}", "match", "ports")
  end)

  it("is that of an item in a list, as it is counted", function()
    expect('return {\n  {\n  },\n  {\n    ports = { 1,\n  "2",\n  @"x" } },\n}', 2, "ports", 3)
    expect("return {\n  nil,\n  @{ a = 1 },\n}", 2)
    expect("return {\n  a = 1, @{\n }, b = 2 }", 1)
    expect("return {\n  [1] = {},\n  @[2] = {},\n}", 2)
  end)

  it("is found behind functions, whatever is in them", function()
    expect(
      [[
local function one() return { name = 1 } end
local two = function() for i = 1, 2 do while true do repeat if x then return {} end until y end end end
return {
  handler = function(socket)
    for _, x in ipairs { 1, 2 } do
      if x then return { "}" } elseif y then local z = { name = 2 } else goto out end
    end
    while true do repeat local s = "end" until true end
    do local t = { ["end"] = function() end } end
    ::out::
  end, -- , name = 3
  other = f(function() return { 1, 2 } end, { a = { 1 } }) or { name = 4 },
  @name = "x",
}]],
      "name"
    )
  end)

  it("is not lost in comments and strings that look like tables", function()
    expect('return {\n--[[ name = 1 ]]\n a = [[\n name = 2, ]], b = "}\\"{", --{\n @name = 3 }', "name")
    expect("return {\n a = 'x\\\n y',\n @name = 1 }", "name")
    expect("return { a = x[ [[name]] ], b = x[y[1]], c = -{} == {},\n @name = 3 }", "name")
  end)

  it("is that of the enclosing table when it isn't there", function()
    expect("return {\n  @match = {\n    address = 1,\n  },\n}", "match", "ports")
    expect("local x\nreturn @{\n  name = 1,\n}", "action", "target")
    expect("return {\n  {\n  },\n  @{\n  name = 1 } }", 2, "action")
  end)

  it("is that of the call that made it", function()
    expect('return {\n  site("a"),\n  @site("b", {\n  match = { ports = 1 } }),\n}', 2, "match", "ports")
    expect('return {\n  match = {},\n  @action = to {\n    target = "x" },\n}', "action", "target")
    expect("local r = f()\n@return r", 1, "match")
    expect("@return f({\n match = {} })", "match")
    expect("return {\n  { name = 1 },\n  @unpack(list) }", 4, "match")
    expect("return {\n  {\n name = 1 },\n  @x and {\n match = {} } or {\n match = {} } }", 2, "match")
  end)

  it("follows a local of the file that nothing else touches", function()
    expect("local r = {\n  @match = {} }\nreturn r", "match")
    expect("local r = {\n  @match = {} }\nreturn { r }", 1, "match")
    expect("local a, b = 1, 2\nlocal r = @{\n  match = {} }\nreturn { r }", 1, "action")
    expect("local m = {\n  @ports = 1 }\nlocal r = { match = m }\nreturn { r }", 1, "match", "ports")
    expect("local match = {\n  @ports = 1 }\nreturn { match = match }", "match", "ports")
    expect("local m = {\n  @ports = 1 }\nreturn {\n { match = m },\n { match = m } }", 2, "match", "ports")
  end)

  it("does not pretend to know what was changed later", function()
    expect("local m = { ports = 1 }\nm.ports = 2\nreturn {\n  @match = m }", "match", "ports")
    expect("local r = { match = 1 }\nfix(r)\n@return r", "match")
    expect("local r = { match = 1 }\nr = { match = 2 }\n@return r", "match")
    expect("local r = { match = 1 }\nlocal r = f()\n@return r", "match")
    expect("local r = { match = 1 }\nlocal s = r\ns.match = 2\n@return r", "match")
    expect("do local r = { match = 1 } end\n@return r", "match")
    expect("local r = {}\nfor i = 1, 3 do r[i] = { name = i } end\n@return r", 2, "name")
    expect("return @{\n [key] = 1,\n match = 2 }", "match")
  end)

  it("is taken from the one place that can have returned it", function()
    expect("if x then\n  return { name = 1 }\nend\nreturn {\n  @match = 2 }", "match")
    assert.are.equal(0, Lines.new("if x then\n return { a = 1 }\nend\nreturn {\n a = 2 }"):find({ "a" }))
    assert.are.equal(0, Lines.new("local x = 1"):find({ "a" }))
  end)
end)
