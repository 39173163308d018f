-- SPDX-License-Identifier: MIT
--
-- Who may call what changes something: whoever reaches the control socket (the file's permissions decide), and over TCP
-- whoever shows the token of the config, as RFC 6750 has it.

local answers = require "moongate.admin.answers"
local native = require "moongate.native"

local access = {}

-- Takes as long for a wrong text as for the right one.
local function is_same(given, token)
  local difference = bit.bxor(#given, #token)
  for index = 1, #given do
    difference = bit.bor(difference, bit.bxor(given:byte(index), token:byte((index - 1) % #token + 1)))
  end
  return difference == 0
end

--- nil when a call that changes something may go on; else the response that says why not. `channel`: see
--- moongate.admin.
function access.refusal(request, channel)
  if channel == "control" then
    return nil
  end
  local token = native.token()
  if not token or token == "" then
    return answers.fault(
      403,
      "calls that change something are answered on the control socket, and here only once the config sets admin.token"
    )
  end
  local given = (request.headers.authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$"
  if not given then
    local message = "this call needs the header Authorization: Bearer TOKEN, with the config's admin.token"
    return answers.fault(401, message, { ["WWW-Authenticate"] = 'Bearer realm="moongate"' })
  elseif not is_same(given, token) then
    local challenge = { ["WWW-Authenticate"] = 'Bearer realm="moongate", error="invalid_token"' }
    return answers.fault(401, "the token is not the config's admin.token", challenge)
  end
  return nil
end

return access
