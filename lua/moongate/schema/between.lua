-- SPDX-License-Identifier: MIT
--
-- What holds between routes, of one file and of several: names stand once, and no route takes all that another one
-- waits for. It keeps an index of the routes of the files so far, by name, and by what they match and port. Only what
-- is the same is told: the same domain, the same addresses of clients. Of routes that overlap otherwise the more
-- specific one goes first, and both are reached.

local between = {}

local BLOCK = 256 -- ports

---@class moongate.schema.Index the routes of the files so far; begins as an empty table
---@field names table<string, table> by name
---@field claims table<string, table> by key and domain: who takes which port

---@class moongate.schema.Known a route, as others see it
---@field place moongate.Place
---@field at (string|number)[] its path in the file
---@field made integer|nil the line of the helper's call that made it
---@field name string
---@field key string what it has to share with another one to be in its way
---@field ports table[] { from =, to = }
---@field domains string[]|nil nil: any
---@field takes_all boolean there is no `when`

-- Texts in one order, each once.
local function as_set(texts)
  local set, seen = {}, {}
  for _, text in ipairs(texts or {}) do
    if not seen[text] then
      seen[text] = true
      set[#set + 1] = text
    end
  end
  table.sort(set)
  return table.concat(set, ",")
end

---@param place moongate.Place
---@param at (string|number)[]
---@param route table normal
---@return moongate.schema.Known
function between.known(place, at, route)
  local match, tls = route.match, route.action.tls
  return {
    place = place,
    at = at,
    name = route.name,
    key = ("%s %d %s %s %d "):format(
      match.address or "*",
      route.priority,
      tls and tls.mode or "plain",
      as_set(match.client_ip),
      match.tls_version or 0
    ),
    ports = match.ports,
    domains = match.domains,
    takes_all = match.when == nil,
  }
end

local function field_of(known, ...)
  local path = { unpack(known.at) }
  for _, key in ipairs({ ... }) do
    path[#path + 1] = key
  end
  return path
end

---Where the route's name stands: "routes/a.lua:3".
---@param known moongate.schema.Known
function between.name_place(known)
  return known.place:show(field_of(known, "name"), known.made)
end

---The line of the route's name; 0: not known.
---@param known moongate.schema.Known
function between.name_line(known)
  return known.made or known.place:line(field_of(known, "name"))
end

-- Visits the blocks that a range lies in: visit(block, from, to) until it returns something, which is returned.
local function each_block(range, visit)
  local from = range.from
  while from <= range.to do
    local block = math.floor(from / BLOCK)
    local to = math.min(range.to, block * BLOCK + BLOCK - 1)
    local found, port = visit(block, from, to)
    if found then
      return found, port
    end
    from = to + 1
  end
end

-- The route that takes a port of the block from..to first, and the port.
local function owner_in(claims, block, from, to)
  local ports = claims.ports[block]
  if ports then
    for port = from, to do
      if ports[port] then
        return ports[port], port
      end
    end
  end
  return claims.whole[block], from
end

-- Enters a route for the ports that nobody has so far.
local function claim(claims, known)
  for _, range in ipairs(known.ports) do
    each_block(range, function(block, from, to)
      if to - from + 1 == BLOCK then
        claims.whole[block] = claims.whole[block] or known
        return
      end
      claims.ports[block] = claims.ports[block] or {}
      local ports = claims.ports[block]
      for port = from, to do
        ports[port] = ports[port] or claims.whole[block] or known
      end
    end)
  end
end

-- The route that is in the way of this one, and the first such port; nil: none. Port 0 is nobody's.
local function find_owner(claims, known)
  for _, range in ipairs(known.ports) do
    if range.from > 0 then
      local owner, port = each_block(range, function(block, from, to)
        return owner_in(claims, block, from, to)
      end)
      if owner then
        return owner, port
      end
    end
  end
end

local function plain_ports(ports)
  local count = 0
  for _, range in ipairs(ports) do
    count = count + range.to - range.from + 1
  end
  return count
end

-- What two routes have in common, for people.
local function contested(domain, port)
  return domain and ("%q on port %d"):format(domain, port) or ("port %d"):format(port)
end

local function warning(known, owner, domain, port)
  local field = domain and "domains" or "ports"
  local all = plain_ports(known.ports) == 1 and #(known.domains or {}) <= 1
  return {
    route = known.name,
    field = "match." .. field,
    path = field_of(known, "match", field),
    made = known.made,
    message = ("%s: %s is taken by the route %q in %s, which stands before it with the same priority and has no "
      .. "`when`: give one of them other %s, a higher priority, or a `when`"):format(
      all and "is never reached"
        or ("is not reached on all of its %s"):format(plain_ports(known.ports) == 1 and "domains" or "ports"),
      contested(domain, port),
      owner.name,
      owner.place:show(field_of(owner, "match", field), owner.made),
      field
    ),
  }
end

-- Who takes what: one route stands there itself until there is a second one, as most do.
local function claims_of(index, key)
  local claims = index.claims[key]
  if claims and claims.name then
    local first = claims
    claims = { ports = {}, whole = {} }
    claim(claims, first)
    index.claims[key] = claims
  end
  return claims
end

-- Enters the route for one of its domains (nil: any), and returns who was there before, if anybody, and the port.
local function enter(index, known, domain)
  local key = known.key .. (domain or "")
  local claims = claims_of(index, key)
  local owner, port = nil, nil
  if claims then
    owner, port = find_owner(claims, known)
  end
  if known.takes_all then
    if claims then
      claim(claims, known)
    else
      index.claims[key] = known
    end
  end
  return owner, port
end

---The route of that name in the files so far.
---@param index moongate.schema.Index
---@return moongate.schema.Known|nil
function between.find(index, name)
  return index.names and index.names[name]
end

---Enters the routes of a file.
---@param index moongate.schema.Index
---@param list moongate.schema.Known[] in their order
---@return table[] warnings { route =, field =, path =, message = }
function between.add(index, list)
  local warnings = {}
  index.names, index.claims = index.names or {}, index.claims or {}
  for _, known in ipairs(list) do
    index.names[known.name] = known
    local told = false
    for i = 1, known.domains and #known.domains or 1 do
      local domain = known.domains and known.domains[i]
      local owner, port = enter(index, known, domain)
      if owner and not told then
        told = true
        warnings[#warnings + 1] = warning(known, owner, domain, port)
      end
    end
  end
  return warnings
end

return between
