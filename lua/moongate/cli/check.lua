-- SPDX-License-Identifier: MIT
--
-- `moongate check`: loads exactly as `run` would, and says what is wrong. It binds nothing.

local loading = require("moongate.cli.loading")
local output = require("moongate.cli.output")
local json = require("moongate.json")
local text = require("moongate.text")
local unicode = require("moongate.unicode")

local check = { summary = "Check the config and the route files." }

---"routes/site.lua:3: route "api": match.ports: …", without what does not apply: one printable line.
---@param fault table { file, line, route, field, message }
---@return string
function check.format(fault)
  local parts = {}
  if fault.file and fault.file ~= "" then
    parts[#parts + 1] = (fault.line or 0) > 0 and ("%s:%d"):format(fault.file, fault.line) or fault.file
  end
  if fault.route and fault.route ~= "" then
    parts[#parts + 1] = ('route "%s"'):format(fault.route)
  end
  if fault.field and fault.field ~= "" then
    parts[#parts + 1] = fault.field
  end
  parts[#parts + 1] = fault.message
  -- Each run of blanks once: "%s*\n%s*" would begin anew at each of them, and a message may have a million.
  return unicode.printable((table.concat(parts, ": "):gsub("%s+", function(run)
    return run:find("\n", 1, true) and " " or nil
  end)))
end

-- By file and line; those of one line in the order in which they were found, and what is of no file first.
local function sorted(faults)
  local order = {}
  for i, fault in ipairs(faults) do
    order[fault] = i
  end
  table.sort(faults, function(a, b)
    if (a.file or "") ~= (b.file or "") then
      return (a.file or "") < (b.file or "")
    elseif (a.line or 0) ~= (b.line or 0) then
      return (a.line or 0) < (b.line or 0)
    end
    return order[a] < order[b]
  end)
  return faults
end

function check.define(command)
  command:argument("file", "Route files: only what is wrong with these (default: all)."):args("*")
  loading.define(command)
  command:flag("--json", 'Print { "faults": [ … ], "warnings": [ … ] }.')
end

-- { faults =, warnings =, files =, routes = } of all, or of those files that are named.
local function check_all(options)
  local native, sum = require("moongate.native"), { faults = {}, warnings = {}, files = 0, routes = 0 }
  local seen = {}
  local function add(list, more, here)
    for _, fault in ipairs(more or {}) do
      fault.file = here and fault.file and fault.file:gsub("^%./", "") or fault.file
      local key = check.format(fault)
      if not seen[key] then -- the config's are each file's
        seen[key] = true
        list[#list + 1] = fault
      end
    end
  end
  local files = options.file or {}
  for index = 1, math.max(1, #files) do
    local result = native.check({
      config = options.config,
      routes = options.routes,
      workers = options.workers,
      file = files[index],
    })
    local here = files[index] and not files[index]:find("/", 1, true)
    add(sum.faults, result.faults, here)
    add(sum.warnings, result.warnings, here)
    sum.files, sum.routes = sum.files + (result.files or 0), sum.routes + (result.routes or 0)
  end
  return sum
end

function check.run(options)
  local result = check_all(options)
  local faults, warnings = sorted(result.faults), sorted(result.warnings)
  if options.json then
    io.stdout:write(json.encode({ faults = json.list(faults), warnings = json.list(warnings) }), "\n")
    return #faults == 0 and 0 or 1
  end
  for _, warning in ipairs(warnings) do
    output.warn("warning: ", check.format(warning), "\n")
  end
  for _, fault in ipairs(faults) do
    output.write(check.format(fault), "\n")
  end
  local loaded = text.plural(result.files, "file") .. ", " .. text.plural(result.routes, "route")
  output.write(("%s: %s\n"):format(loaded, #faults == 0 and "no fault" or text.plural(#faults, "fault")))
  return #faults == 0 and 0 or 1
end

return check
