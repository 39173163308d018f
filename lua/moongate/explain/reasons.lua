-- SPDX-License-Identifier: MIT
--
-- The words for what became of one route in a choice: what turned it down, what matched, and why it is checked behind
-- another. A row is what native.ask("explain") tells of a route, `asked` what was asked: domain, client_ip,
-- tls_version, tls, and what the port takes.

local reasons = {}

local SHOWN_VALUES = 4

---"a, b or 3 more", each value in the form.
---@param list string[]
---@param form string
---@return string
function reasons.alternatives(list, form)
  local shown = {}
  for i = 1, math.min(#list, SHOWN_VALUES) do
    shown[i] = form:format(list[i])
  end
  shown[#shown + 1] = #list > #shown and ("%d more"):format(#list - #shown) or nil
  local last = table.remove(shown)
  return #shown > 0 and table.concat(shown, ", ") .. " or " .. last or last
end

local function values(list)
  return reasons.alternatives(list, '"%s"')
end

local function place(row)
  return ("%s:%d"):format(row.file, row.line)
end

local function has(list, wanted)
  for _, value in ipairs(list or {}) do
    if value == wanted then
      return true
    end
  end
  return false
end

local function domains(row, asked)
  local wanted = values(row.match.domains)
  if not asked.domain then
    return "the connection names no domain, and the route wants " .. wanted
  end
  local pattern, below = false, ""
  for _, domain in ipairs(row.match.domains) do
    pattern = pattern or domain:find("[*?]") ~= nil
    if below == "" and domain == "*." .. asked.domain then
      below = (": that takes the names below %s, not %s itself"):format(asked.domain, asked.domain)
    end
  end
  return ('"%s" %s %s%s'):format(asked.domain, pattern and "does not match" or "is not", wanted, below)
end

-- What it asks for of what is not said: of the first by itself, of the second with the field that it stands in.
local function open(row)
  local parts = {}
  if has(row.open, "client_ip") then
    parts[1] = ("takes only clients in %s (not said)"):format(values(row.match.client_ip))
  end
  if has(row.open, "tls_version") then
    parts[#parts + 1] = (#parts > 0 and "tls_version: " or "") .. ("takes only %s as the highest that the client "
      .. "offers (not said)"):format(table.concat(row.match.tls_version, " or "))
  end
  return table.concat(parts, "; ")
end

-- "matches by address 127.0.0.2, a.com, client_ip 10.0.0.0/8, tls_version 1.3", or what it takes any of.
local function match(row, asked)
  local matched, parts = row.matched, {}
  parts[1] = matched.address and "address " .. row.match.address or nil
  parts[#parts + 1] = matched.domain
  parts[#parts + 1] = matched.client_ip and "client_ip " .. matched.client_ip or nil
  parts[#parts + 1] = has(row.match.tls_version, asked.tls_version) and "tls_version " .. asked.tls_version or nil
  if #parts > 0 then
    return "matches by " .. table.concat(parts, ", ")
  elseif asked.takes == "plain" then
    return "takes any connection"
  elseif not row.action.tls then
    return "takes any plain connection, whatever host it asks for: TLS on this port goes to the routes with `tls`"
  end
  return asked.domain and "takes any domain" or "takes any domain, and none"
end

local CLAUSES = { domains = domains }

function CLAUSES.address(row)
  return "takes only what comes in at " .. (row.match.address or "other addresses")
end

function CLAUSES.tls(_, asked)
  return asked.tls and "TLS on this port goes to the routes with `tls`, and this one has none"
    or "it takes TLS, and this connection is plain"
end

function CLAUSES.client_ip(row, asked)
  return ("%s is not in %s"):format(asked.client_ip, values(row.match.client_ip))
end

function CLAUSES.tls_version(row, asked)
  return ("the highest TLS version that the client offers is %s, and this route takes only %s"):format(
    asked.tls_version or "none", table.concat(row.match.tls_version, " or "))
end

---Why the route is where it is.
---@param row table
---@param asked table
---@return string
function reasons.of(row, asked)
  local clause, reason = row.clause
  if row.open and clause ~= "domains" then
    reason = open(row)
  elseif clause == "when" then
    local rest = match(row, asked)
    reason = ("its `when` decides (%s), which is not run here; the rest fits (%s)"):format(place(row), rest)
  else
    reason = (CLAUSES[clause] or match)(row, asked)
  end
  if row.open and row.match.when and clause ~= "outranked" then
    reason = reason .. ("; then its `when` decides (%s), which is not run here"):format(place(row))
  end
  return reason
end

local ORDER = {
  address = function()
    return "is bound to this very address"
  end,
  domains = function(row)
    return row.match.domains and "has the more specific domain" or "is for certain domains"
  end,
  client_ip = function(row)
    return row.match.client_ip and "has the more specific client_ip" or "is for certain clients"
  end,
  tls_version = function(row)
    return row.match.tls_version and "has fewer TLS versions" or "is for certain TLS versions"
  end,
  ["file order"] = function(row)
    return row.before.file == row.file and "stands before it in the file" or "is in a file that comes first"
  end,
}

---Why it is checked behind the one before; nil: there is none.
---@param row table
---@return { route: string, by: string, reason: string }?
function reasons.order(row)
  local before = row.before
  if not (before and row.by) then
    return nil
  end
  local why = row.by == "priority" and ("its priority is %d, above %d"):format(before.priority, row.priority)
    or "it " .. ORDER[row.by](row)
  return { route = before.name, by = row.by, reason = ('"%s" is checked first: %s'):format(before.name, why) }
end

return reasons
