-- SPDX-License-Identifier: MIT
--
-- For test_options.c: each option that the schema declares and this version has, as two texts that differ in it alone.
-- A type that is not known here is an error: what is added to the schema is in the test, or stops it.

local schema = require("moongate.schema")

-- By type: Lua that is another value than the default, as text.
local values = {
  account = '"nobody"',
  address = '"127.0.0.2"',
  balance = '"least-connections"',
  client_ips = '"10.0.0.0/8"',
  count_in_window = '{ 7, "7s" }',
  domains = '"a.example.com"',
  duration = '"77s"',
  keep_alive = '"immortal"',
  listen = '"127.0.0.1:1"',
  partial_route = "{ priority = 7 }",
  ports = "81",
  proxy_accept = "true",
  proxy_send = "2",
  size = '"7m"',
  target = '"c:2"',
  target_port = "2",
  targets = '{ { host = "b", port = 1 }, { host = "c", port = 1 } }',
  tls = '{ mode = "passthrough" }',
  tls_versions = '"1.3"',
  handler = "function() end",
  ["function"] = "function() end",
}

local items = { string = '"other"', ip_pattern = '"10.0.0.0/8"', host_name = '"a.example.com"' }
items.nameserver = '"192.0.2.1"'

-- nil: there is but one value.
local function other_value(path, descriptor)
  local kind, default = descriptor.type, descriptor.default
  if kind == "boolean" then
    return tostring(not default)
  elseif kind == "integer" then
    return tostring((tonumber(default) or descriptor.min or 0) + 1)
  elseif kind == "list" then
    return "{ " .. (items[descriptor.of.type] or error(path .. ": no sample of a list of such")) .. " }"
  elseif kind == "string" then
    for _, word in ipairs(descriptor.enum or { "other" }) do
      if word ~= default then
        return ("%q"):format(word)
      end
    end
    return nil
  end
  return values[kind] or error(("%s: no sample of the type %q: add one"):format(path, kind))
end

-- What stands beside it, by path.
local beside = {
  ["match.domains"] = { ["action.tls"] = '{ mode = "passthrough" }' },
  ["match.tls_version"] = { ["action.tls"] = '{ mode = "passthrough" }' },
  ["action.port"] = { ["action.target"] = '"b"', ["action.port"] = "1" },
  ["action.balance"] = { ["action.target"] = "nil", ["action.targets"] = '{ { host = "b", port = 1 } }' },
  ["action.targets"] = { ["action.target"] = "nil", ["action.targets"] = '{ { host = "b", port = 1 } }' },
}
local without = { ["action.handler"] = "action.target" }

-- The text of a file whose table has these values, by path.
local function file_text(said)
  local lines = { "local t = setmetatable({}, { __index = function(t, key) t[key] = {} return t[key] end })" }
  local paths = {}
  for path in pairs(said) do
    paths[#paths + 1] = path
  end
  table.sort(paths)
  for _, path in ipairs(paths) do
    lines[#lines + 1] = ("t.%s = %s"):format(path, said[path])
  end
  lines[#lines + 1] = "return setmetatable(t, nil)"
  return table.concat(lines, "\n")
end

local samples = {}

local function copy(said)
  local other = {}
  for path, value in pairs(said) do
    other[path] = value
  end
  return other
end

local function add_sample(kind, base, path, value, name, is_function)
  local before = copy(base)
  for beside_path, text in pairs(beside[path] or {}) do
    before[beside_path] = text
  end
  local after = copy(before)
  after[path] = value
  if without[path] then
    after[without[path]] = nil
  end
  samples[#samples + 1] = {
    kind = kind,
    path = name or path,
    before = file_text(before),
    after = file_text(after),
    is_function = is_function,
  }
end

local function add_samples(kind, base, prefix, fields)
  for name, descriptor in pairs(fields) do
    local path = prefix .. name
    local type_name = descriptor.type
    local is_there = not descriptor.later and type_name ~= "unsupported" and path ~= "enabled" -- false: no route
    if is_there and type_name == "table" then
      add_samples(kind, base, path .. ".", descriptor.fields)
    elseif is_there and type_name == "duration_pair" then
      add_sample(kind, base, path, '{ "77s" }', path .. ".plain")
      add_sample(kind, base, path, '{ tls = "78s" }', path .. ".tls")
    elseif is_there then
      local value = other_value(path, descriptor)
      if value then
        add_sample(kind, base, path, value, nil, type_name == "function" or type_name == "handler")
      end
    end
  end
end

add_samples("config", { workers = "3", state = '"state"' }, "", schema.config.fields)
add_samples("route", { ["match.ports"] = "80", ["action.target"] = '"b:1"' }, "", schema.route.fields)
table.sort(samples, function(a, b)
  return a.kind .. a.path < b.kind .. b.path
end)
return samples
