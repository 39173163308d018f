-- SPDX-License-Identifier: MIT
--
-- Who may ask what of the admin interface. Whoever reaches the control socket may ask all (the file's permissions
-- decide); over TCP a request has to call this machine by a name that is its own, and to show the token of the config
-- once there is one, as RFC 6750 has it. What changes something needs the token in any case.

local answers = require "moongate.admin.answers"
local native = require "moongate.native"

local access = {}

local LOG_SECONDS = 1 -- between two lines of a kind

-- Takes as long for a wrong text as for the right one.
local function is_same(given, token)
  local difference = bit.bxor(#given, #token)
  for index = 1, #given do
    difference = bit.bor(difference, bit.bxor(given:byte(index), token:byte((index - 1) % #token + 1)))
  end
  return difference == 0
end

-- An address of IPv6, with a zone or without (RFC 6874).
local IPV6 = "^%[[%x.]*:[%x:.]*%]:?%d*$"
local IPV6_IN_ZONE = "^%[[%x.]*:[%x:.]*%%[%w%-._~%%]+%]:?%d*$"

-- By which name the request asks for this machine (RFC 9112, 3.2): in lower case, without port and the dot at its end;
-- nil: by none, or by an address.
local function name_of(request)
  local authority = request.target:match "^%a[%w+.-]*://([^/?#]*)" or request.headers.host
  if not authority or authority:find(IPV6) or authority:find(IPV6_IN_ZONE) then
    return nil
  end
  local name = authority:lower():gsub(":%d*$", ""):gsub("%.$", "")
  return not name:find "^%d+%.%d+%.%d+%.%d+$" and name or nil
end

local function is_ours(name, hosts)
  return name == "localhost" or not name:find "," and ("," .. hosts .. ","):find("," .. name .. ",", 1, true) ~= nil
end

local last_logged = {}

-- At most one line a second of each kind: whoever asks decides how often.
local function warn(message, fields)
  local moongate = require "moongate"
  if moongate.now() >= (last_logged[message] or -math.huge) + LOG_SECONDS then
    last_logged[message] = moongate.now()
    moongate.log.warn(message, fields)
  end
end

-- Any page that a person on this machine visits can have its own name resolved to this machine, and read what is
-- answered to that name (DNS rebinding). The browser then says the page's name.
local function refusal_of_name(request, hosts)
  local name = name_of(request)
  if not name or is_ours(name, hosts) then
    return nil
  end
  warn(
    "the admin interface was asked by a name that is not its own; if it is, add it to admin.hosts",
    { host = name, path = request.path, client = request.peer }
  )
  local message = ("this interface is not asked as %q: use its address, or add the name to admin.hosts"):format(name)
  return answers.fault(421, message)
end

local function refusal_of_token(request, token)
  local given = (request.headers.authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$"
  if not given then
    local message = "this call needs the header Authorization: Bearer TOKEN, with the config's admin.token"
    return answers.fault(401, message, { ["WWW-Authenticate"] = 'Bearer realm="moongate"' })
  elseif not is_same(given, token) then
    warn("the admin interface was shown a wrong token", { path = request.path, client = request.peer })
    local challenge = { ["WWW-Authenticate"] = 'Bearer realm="moongate", error="invalid_token"' }
    return answers.fault(401, "the token is not the config's admin.token", challenge)
  end
  return nil
end

---nil when the call may go on; else the response that says why not. `channel`: see moongate.admin. `call`: `writes`,
---`writes_files`: what it changes; `open`: "always", or "metrics" (while admin.public_metrics has it so): asked by any
---name, and without the token.
---@param request table with `peer`, the address that asks, where it is known
---@param channel "control"|"tcp"
---@param call table
---@return table? response
function access.refusal(request, channel, call)
  local admission = native.ask "admission"
  if admission.write == false and (channel == "tcp" and call.writes or call.writes_files) then
    return answers.fault(403, "admin.write of the config is false: nothing is changed by this call")
  elseif channel == "control" then
    return nil
  end
  local is_metrics = call.open == "metrics"
  local wrong = not call.open and refusal_of_name(request, admission.hosts or "")
  if wrong then
    return wrong
  elseif call.open and not (is_metrics and admission.public_metrics == false) then
    return nil
  end
  local token = admission.token
  if token and token ~= "" then
    return refusal_of_token(request, token)
  elseif call.writes then
    return answers.fault(
      403,
      "calls that change something are answered on the control socket, and here only once the config sets admin.token"
    )
  end
  return nil
end

return access
