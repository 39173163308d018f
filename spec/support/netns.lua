-- SPDX-License-Identifier: MIT
--
-- Network namespaces of their own for specs, by ip(8).

local netns = {}

-- Whether `ip WORDS` was done.
function netns.ip(words)
  return os.execute("ip " .. words .. " 2>/dev/null") == 0
end

function netns.add(name)
  return netns.ip("netns add " .. name)
end

-- Nothing of it is left: ip(8) makes the directory a mount of its own with the first namespace, and leaves that. One in
-- which others have namespaces is busy, and stays.
function netns.remove(name)
  netns.ip("netns del " .. name)
  for _ = 1, 4 do
    if os.execute('[ -z "$(ls -A /run/netns 2>/dev/null)" ] && umount /run/netns 2>/dev/null') ~= 0 then
      return
    end
  end
end

return netns
