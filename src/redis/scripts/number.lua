-- A number as JavaScript prints it (ECMA-262, Number::toString): the fewest digits from which it can be read again.
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

-- The sum of a stored number, 0 if there is none, and `by`; nil if it is none or the sum is not finite.
local function sum (entry, by)
  if entry and not string.match(entry.text, '^%-?%d[%d%.eE+-]*$') then return nil end
  local result = (entry and tonumber(entry.text) or 0) + by
  if result ~= result or math.abs(result) == math.huge then return nil end
  return result
end
