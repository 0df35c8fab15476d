// Counters.
export default String.raw`
-- Formats a number like JavaScript (ECMA-262, Number::toString): with the fewest digits that identify it.
local function jsNumber (number)
  if number == 0 then return '0' end
  if math.abs(number) < 2 ^ 53 and number == math.floor(number) then return int(number) end
  local text
  for digits = 0, 16 do
    text = string.format('%.' .. digits .. 'e', number)
    if tonumber(text) == number then break end
  end
  local sign, first, rest, exponent = string.match(text, '^(-?)(%d)%.?(%d*)e([+-]%d+)$')
  local digits = (string.gsub(first .. rest, '0+$', ''))
  local point = tonumber(exponent) + 1
  if point > 21 or point < -5 then
    local fraction = #digits > 1 and '.' .. string.sub(digits, 2) or ''
    return sign .. first .. fraction .. 'e' .. (point > 0 and '+' or '-') .. int(math.abs(point - 1))
  end
  if point <= 0 then return sign .. '0.' .. string.rep('0', -point) .. digits end
  if point >= #digits then return sign .. digits .. string.rep('0', point - #digits) end
  return sign .. string.sub(digits, 1, point) .. '.' .. string.sub(digits, point + 1)
end

-- The stored number, 0 if there is none, plus the amount of the call. Nil if it is not a number, or the sum not finite.
local function sum (entry, call)
  if entry and not string.match(textOf(entry), '^%-?%d[%d%.eE+-]*$') then return nil end
  local before = entry and tonumber(textOf(entry)) or 0
  local after = before + (call.number or 1)
  if after ~= after or math.abs(after) == math.huge then return nil end
  if call.down and after < 0 then return math.min(before, 0) end
  return after
end

-- Maximum window in milliseconds: about 35,000 years, which a Date can still represent.
local LONGEST = 2 ^ 50

-- The new time to live of a counter with its new sum; nil to keep the current expiry.
local function windowOf (isNew, result, call)
  if not call.ttl then return nil end
  if not call.limit or result <= call.limit then return isNew and call.ttl or nil end
  return call.backoff and math.min(call.ttl * 2 ^ (result - call.limit - 1), LONGEST) or call.ttl
end
`
