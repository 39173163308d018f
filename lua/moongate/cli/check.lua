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
  return unicode.printable((table.concat(parts, ": "):gsub("%s*\n%s*", " ")))
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
  loading.define(command)
  command:flag("--json", 'Print { "faults": [ … ], "warnings": [ … ] }.')
end

function check.run(options)
  local result = require("moongate.native").check({
    config = options.config,
    routes = options.routes,
    workers = options.workers,
  })
  local faults, warnings = sorted(result.faults or {}), sorted(result.warnings or {})
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
  local loaded = text.plural(result.files or 0, "file") .. ", " .. text.plural(result.routes or 0, "route")
  output.write(("%s: %s\n"):format(loaded, #faults == 0 and "no fault" or text.plural(#faults, "fault")))
  return #faults == 0 and 0 or 1
end

return check
