-- SPDX-License-Identifier: MIT
--
-- What the API tells of a route, of what native does (runtime/reports/routes_report.h): what of its options decides who
-- gets it and what is done then, and where it is live. Of `match` and `action` that is what stands here, no more.

local json = require "moongate.json"

local route_rows = {}

local VERSIONS = { "1.0", "1.1", "1.2", "1.3" } -- by the bits of tls/version.h

---Those of a set of versions.
---@param bits integer
---@return string[]?
function route_rows.versions(bits)
  local list = {}
  for index, version in ipairs(VERSIONS) do
    if math.floor(bits / 2 ^ (index - 1)) % 2 == 1 then
      list[#list + 1] = version
    end
  end
  return #list > 0 and list or nil
end

---The row as the API has it, with whatever else it has been given.
---@param row table
---@return table row
function route_rows.shape(row)
  local match, action = row.match, row.action
  row.match = {
    ports = match.ports,
    address = match.address,
    domains = match.domains,
    client_ip = match.client_ip,
    tls_version = route_rows.versions(match.tls_version or 0),
    when = match.when,
  }
  row.action = {
    type = action.handler and "handler" or "forward",
    tls = action.tls,
    target_function = action.target_function,
    targets = action.targets,
    half_open = action.half_open or nil,
  }
  return row
end

---@param rows table[]?
---@return table[] rows
function route_rows.shape_all(rows)
  for _, row in ipairs(rows or {}) do
    route_rows.shape(row)
  end
  return rows or {}
end

---What the status has of each.
---@param rows table[]?
---@return table[]
function route_rows.brief(rows)
  local list = json.list({})
  for index, row in ipairs(route_rows.shape_all(rows)) do
    list[index] = {
      name = row.name,
      file = row.file,
      address = row.match.address or "*",
      action = row.action.type,
      ports = json.list(row.ports),
    }
  end
  return list
end

return route_rows
