-- SPDX-License-Identifier: MIT
--
-- What editors are told of the public Lua (lua/moongate/_meta/) is what is there at run time, and nothing is missing.

local lfs = require "lfs"
local testing = require "moongate.testing"

local META = "lua/moongate/_meta/"

-- All annotations: of each class its members, "method", "function" or "field", by name; and its parents.
local function read_annotations()
  local classes, parents = {}, {}
  local function members(name)
    classes[name] = classes[name] or {}
    return classes[name]
  end
  for name in lfs.dir(META) do
    if name:find "%.lua$" then
      local variables, class = {}, nil
      for line in io.lines(META .. name) do
        local declared, rest = line:match "^%-%-%-@class ([%w_.]+)%s*(.*)"
        local field, optional = line:match "^%-%-%-@field ([%w_]+)(%??)"
        local variable = line:match "^local ([%w_]+) = {}" or line:match "^([%w_]+) = {}"
        local owner, separator, method = line:match "^function ([%w_.]+)([.:])([%w_]+)%("
        if declared then
          class = declared
          members(class)
          parents[class] = rest:match "^:%s*([%w_.]+)"
        elseif field then
          members(class)[field] = optional == "?" and "optional" or "field"
        elseif variable then
          variables[variable] = class
        elseif owner then
          local of = assert(variables[owner], name .. ": " .. owner .. " has no class")
          members(of)[method] = separator == ":" and "method" or "function"
        end
      end
    end
  end
  return classes, parents
end

local classes, parents = read_annotations()

-- A class's members, its parents' among them.
local function all_of(class)
  local all = {}
  while class do
    for name, kind in pairs(assert(classes[class], "no annotations of " .. class)) do
      all[name] = all[name] or kind
    end
    class = parents[class]
  end
  return all
end

local function sorted(set, keep)
  local names = {}
  for name, value in pairs(set) do
    if type(name) == "string" and (not keep or keep(name, value)) then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- The names of a table, of what its `__index` has, if that is a table, included; what begins with "_" is nobody's.
local function names_of(object)
  local all = {}
  local function add(values)
    for name in pairs(values) do
      all[name] = true
    end
  end
  if type(object) == "table" then
    add(object)
  end
  local meta = debug.getmetatable(object)
  if meta and type(meta.__index) == "table" then
    add(meta.__index)
  end
  return sorted(all, function(name)
    return not name:find "^_"
  end)
end

-- Parts load when they are first used: what is annotated is used, and then it shows.
local function whole(object, class)
  for name in pairs(all_of(class)) do
    local _ = object[name]
  end
  return object
end

local function whole_moongate()
  local all = { worker = true } -- made anew at each use
  for name in pairs(whole(moongate, "moongate")) do
    all[name] = true
  end
  return all
end

describe("the annotations", function()
  it("have every part of moongate, and no more", function()
    assert.same(sorted(whole_moongate()), sorted(all_of "moongate"))
  end)

  -- What nobody has used yet is seen in the source alone.
  it("have what loads at its first use", function()
    for path, class in pairs { ["init.lua"] = "moongate", ["handlers.lua"] = "moongate.handlers" } do
      local file = assert(io.open("lua/moongate/" .. path))
      local parts = file:read("*a"):match "\nlocal [%w_]+ = {%s*([%w_]+ = .-)}" or ""
      file:close()
      for name in parts:gmatch "([%w_]+) =" do
        assert.truthy(all_of(class)[name], class .. "." .. name .. " has no annotation")
      end
    end
  end)

  it("have every function of the parts of moongate, and no more", function()
    for _, name in ipairs(sorted(whole_moongate())) do
      if type(moongate[name]) == "table" and classes["moongate." .. name] then
        assert.same(names_of(whole(moongate[name], "moongate." .. name)), sorted(all_of("moongate." .. name)), name)
      end
    end
  end)

  it("tell functions from values", function()
    for name, kind in pairs(all_of "moongate") do
      local is_function = type(moongate[name]) == "function"
      assert.equal(is_function, kind == "function", "moongate." .. name)
    end
  end)

  it("have every method of a socket, and no more", function()
    local names
    local c = testing.call(function(socket)
      names = names_of(socket)
    end)
    c:wait()
    assert.is_true(#names > 10)
    assert.same(names, sorted(all_of "moongate.Socket"))
  end)

  it("have every field of the context, and no more", function()
    local given = {}
    local m = testing.start {
      config = { proxy_protocol = { trusted = "127.0.0.1", accept = true } },
      routes = {
        name = "all",
        match = { ports = 1 },
        action = {
          handler = function(_, context)
            for name in pairs(context) do
              given[name] = true
            end
            given.forward = context.forward ~= nil
            assert.same(names_of(context.proxy), sorted(all_of "moongate.Context.Proxy"))
          end,
        },
      },
    }
    local client = m:connect "all"
    client:send "PROXY TCP4 192.0.2.7 192.0.2.8 1000 1\r\n"
    client:receive "*a"
    assert.equal(0, m:metrics()['moongate_handler_errors_total{route="all"}'])
    m:stop()
    local all, known = all_of "moongate.Context", 0
    for name in pairs(given) do
      assert.truthy(all[name], "context." .. name .. " has no annotation")
      known = known + 1
    end
    assert.is_true(known > 7)
    for name, kind in pairs(all) do
      assert.truthy(given[name] or kind == "optional", "there is no context." .. name)
    end
  end)

  it("have every part of moongate.testing, and no more", function()
    assert.same(names_of(testing), sorted(all_of "moongate.testing"))
    assert.same(names_of(testing.clock), sorted(all_of "moongate.testing.clock"))
  end)

  it("have the methods of what moongate.testing gives", function()
    local c = testing.call(function() end)
    for name, kind in pairs(all_of "moongate.testing.Call") do
      if kind == "method" then
        assert.equal("function", type(c[name]), "call:" .. name)
      end
    end
    c:wait()
    local m = testing.start { routes = { match = { ports = 1 }, action = { handler = function() end } } }
    for name, kind in pairs(all_of "moongate.testing.Moongate") do
      assert.equal("method", kind)
      assert.equal("function", type(m[name]), "moongate:" .. name)
    end
    for _, name in ipairs(names_of(m)) do
      if type(m[name]) == "function" then
        assert.truthy(all_of("moongate.testing.Moongate")[name], "moongate:" .. name .. " has no annotation")
      end
    end
    m:stop()
  end)

  it("are Lua, and say what they are", function()
    for name in lfs.dir(META) do
      if name:find "%.lua$" then
        assert(loadfile(META .. name))
        assert.equal("---@meta", io.lines(META .. name)())
      end
    end
  end)

  it("refer to types that there are", function()
    local known = {}
    for name in pairs(classes) do
      known[name] = true
    end
    for name in lfs.dir(META) do
      if name:find "%.lua$" then
        for line in io.lines(META .. name) do
          local alias = line:match "^%-%-%-@alias ([%w_.]+)"
          known[alias or ""] = true
        end
      end
    end
    for name in lfs.dir(META) do
      if name:find "%.lua$" then
        for line in io.lines(META .. name) do
          local words = line:match "^%-%-%-@[%a]+ (.*)" or ""
          for word in words:gmatch "moongate%.[%u][%w_.]*" do
            word = word:gsub("%.$", "")
            assert.truthy(known[word], ("%s: there is no type %s: %s"):format(name, word, line))
          end
        end
      end
    end
  end)
end)
