-- SPDX-License-Identifier: MIT
--
-- Routes as specs hand them over: a file loaded in the spec's own state, and tables made fit for the loader.

local testing = require("moongate.native").testing()

local routes = {}

local function is_callable_table(value)
  local metatable = type(value) == "table" and getmetatable(value)
  return type(metatable) == "table" and metatable.__call ~= nil
end

---A copy in which what can be called like a function (a spy of luassert) is one.
function routes.plain(value, depth)
  depth = depth or 0
  if is_callable_table(value) then
    return function(...)
      return value(...)
    end
  elseif type(value) ~= "table" or depth > 32 then
    return value
  end
  local copy = {}
  for key, item in pairs(value) do
    copy[key] = routes.plain(item, depth + 1)
  end
  return setmetatable(copy, getmetatable(value))
end

---"routes/site.lua:3: route "api": match.ports: what is wrong", a line each.
function routes.describe(faults)
  local lines = {}
  for i, fault in ipairs(faults) do
    local text = fault.message
    if fault.field then
      text = fault.field .. ": " .. text
    end
    if fault.route then
      text = ('route "%s": %s'):format(fault.route, text)
    end
    if fault.line then
      text = ("%s:%d: %s"):format(fault.file, fault.line, text)
    elseif fault.file then
      text = ("%s: %s"):format(fault.file, text)
    end
    lines[i] = text
  end
  return table.concat(lines, "\n")
end

-- Modules beside the directory that the file is in, as `moongate run` finds them.
local function with_modules_of(path, run)
  local directory = path:match("^(.*)/[^/]+/[^/]+$") or (path:find("^/") and "" or ".")
  local before = package.path
  package.path = ("%s/?.lua;%s/?/init.lua;%s"):format(directory, directory, before)
  local results = { pcall(run) }
  package.path = before
  if not results[1] then
    error(results[2], 0)
  end
  return results[2]
end

local function read(path)
  local file, failure = io.open(path, "rb")
  if not file then
    error(failure, 3)
  end
  local text = file:read("*a")
  file:close()
  return text
end

---The routes of a file, loaded and checked as `moongate run` would, but in this state, so that a spec reaches their
---functions. A list; each route stands under its name as well.
---@param path string
---@return table<integer|string, table>
function routes.load(path)
  if type(path) ~= "string" then
    error("bad argument #1 to 'testing.load' (the path of a route file expected)", 2)
  end
  local text = read(path)
  local chunk, failure = loadstring(text, "@" .. path)
  if not chunk then
    error(failure, 2)
  end
  local value = with_modules_of(path, chunk)
  local answer = testing.check({ routes = value, config = {}, path = path, text = text })
  if #answer.faults > 0 then
    error(routes.describe(answer.faults), 2)
  end
  local list = value[1] == nil and { value } or value
  local found = {}
  for i, route in ipairs(list) do
    found[i] = route
    route.name = route.name or ("%s#%d"):format(path:match("[^/]+$"), i)
    found[route.name] = route
  end
  return found
end

-- All files of a directory, in the order of their names.
local function load_directory(path)
  local names, list = {}, {}
  for name in require("lfs").dir(path) do
    if name:find "^[^.].*%.lua$" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    for _, route in ipairs(routes.load(path .. "/" .. name)) do
      list[#list + 1] = route
    end
  end
  return list
end

---The routes of a table, a file or a directory as one list of tables, whose functions are at hand.
function routes.list(value)
  if type(value) == "string" and not value:find "%.lua$" then
    return load_directory(value)
  end
  local given = routes.given(value)
  return type(given[1]) == "table" and given or { given }
end

---What stands for routes in an option: a table, a file's path, or nil and a directory.
function routes.given(value)
  if type(value) == "table" then
    return routes.plain(value), nil, "routes"
  elseif type(value) ~= "string" then
    error("bad argument #1 to 'testing.start' (routes: a table of routes, a file or a directory expected)", 3)
  elseif value:find("%.lua$") then
    local list = {}
    for i, route in ipairs(routes.load(value)) do
      list[i] = route
    end
    return list, nil, value
  end
  return nil, value, value
end

return routes
