# ruff: noqa: E501
"""The table of units: names, symbols and factors, in the notation that `measure_units` reads. Data only.

A section names its dimension and the exponents of length, mass, time, temperature, data and angle. A line is

    names | symbols = factor [+ offset]

in the coherent SI unit of its dimension (bits for data, degrees for angles): (value + offset) × factor. `one/many` gives
an irregular plural, else an s is added; the first name is the one that answers use. "@" takes every SI prefix. Factors
are definitions (SI Brochure, 9th ed.; NIST Special Publication 811, appendix B; UK Weights and Measures Act 1985);
"~" marks one that is rounded.
"""

TABLE = """
[length 1 0 0 0 0 0]
@metre, meter, mtr | m = 1
inch/inches, inche | in, ", ″, '', ” = 0.0254
foot/feet, feets, foots | ft, ', ′, ’ = 0.3048
yard | yd, yds = 0.9144
mile, statute mile | mi = 1609.344
nautical mile, sea mile | nmi, NM = 1852
kilometre, klick, km, kms, kilometer, k = 1000
centimetre, centimeter, cm, cms = 0.01
millimetre, millimeter, mm, mms = 0.001
furlong = 201.168
rod, perch/perches = 5.0292
fathom = 1.8288
hand = 0.1016
league = 4828.032
thou/thou, mil = 0.0000254
micron = 0.000001
angstrom, ångström | Å = 1e-10
astronomical unit | au, AU = 149597870700
light-year, light year, lightyear | ly = 9460730472580800
light-second, light second = 299792458
parsec | pc = ~30856775814913673
[mass 0 1 0 0 0 0]
@gram, gramme | g = 0.001
kilogram, kilogramme, kilo, kgs, kg = 1
gram, gm, gms, gr = 0.001
@tonne, metric ton | t = 1000
pound, lb, lbs, lbm, pound-mass = 0.45359237
ounce, oz, ozs, avoirdupois ounce = 0.028349523125
stone/stone, stones | st = 6.35029318
grain = 0.00006479891
dram, drachm, drachma = 0.0017718451953125
carat, karat | ct = 0.0002
troy ounce, ozt, oz t, oz troy, ounce troy/ounces troy = 0.0311034768
troy pound = 0.3732417216
pennyweight | dwt = 0.00155517384
US ton, short ton, american ton = 907.18474
long ton, imperial ton, UK ton, british ton = 1016.0469088
US hundredweight, short hundredweight = 45.359237
imperial hundredweight, long hundredweight = 50.80234544
quintal = 100
tola = 0.0116638038
stick of butter/sticks of butter, butter stick, stick = 0.1133980925
[area 2 0 0 0 0 0]
acre | ac = 4046.8564224
hectare | ha = 10000
are = 100
square metre, square meter, sqm, m2, sq m, m sq, metre squared/metres squared, meter squared/meters squared = 1
square foot/square feet, sqft, sq ft, sq feet, ft2, foot squared/feet squared = 0.09290304
square inch/square inches, sqin, sq in = 0.00064516
square mile, sqmi, sq mi = 2589988.110336
[volume 3 0 0 0 0 0]
@litre, liter, ltr | l, L, ℓ = 0.001
litre, litters, ltrs, lt = 0.001
millilitre, milliliter, ml, mls = 0.000001
cubic centimetre, cubic centimeter, cc, ccs, ccm = 0.000001
US gallon, american gallon = 0.003785411784
US quart, american quart = 0.000946352946
US pint, american pint = 0.000473176473
US cup, american cup = 0.0002365882365
US gill = 0.00011829411825
US fluid ounce, american fluid ounce, US fl oz = 0.0000295735295625
US tablespoon, american tablespoon, US tbsp = 0.00001478676478125
US teaspoon, american teaspoon, US tsp = 0.00000492892159375
imperial gallon, UK gallon, british gallon = 0.00454609
imperial quart, UK quart, british quart = 0.0011365225
imperial pint, UK pint, british pint = 0.00056826125
imperial gill, UK gill = 0.0001420653125
imperial cup, UK cup, british cup = 0.000284130625
imperial fluid ounce, UK fluid ounce, british fluid ounce, imperial fl oz, UK fl oz = 0.0000284130625
metric cup = 0.00025
metric tablespoon, metric tbsp = 0.000015
metric teaspoon, metric tsp = 0.000005
Australian tablespoon, australian tbsp = 0.00002
barrel of oil/barrels of oil, oil barrel, barrel | bbl = 0.158987294928
US bushel, bushel = 0.03523907016688
US peck, peck = 0.00880976754172
cubic metre, cubic meter, cbm = 1
acre-foot/acre-feet, acre foot/acre feet = 1233.48183754752
[time 0 0 1 0 0 0]
@second | s = 1
second, sec, secs = 1
minute, min, mins, mn = 60
hour, hr, hrs | h = 3600
day | d = 86400
week, wk, wks = 604800
fortnight = 1209600
month, mth, mths = 2628000
year, yr, yrs, calendar year = 31536000
decade = 315360000
century/centuries = 3153600000
millennium/millennia, millenium = 31536000000
[temperature 0 0 0 1 0 0]
°C/°C, celsius, celcius, celsuis, centigrade, degree celsius/degrees celsius, degree centigrade/degrees centigrade, degree celcius/degrees celcius, degree of celsius/degrees of celsius, celsius degree, deg celsius, deg c, degree c/degrees c, c degree, ° c, º c, ° celsius, ℃ | C = 1 + 273.15
°F/°F, fahrenheit, farenheit, fahrenheits, farenheits, farhenheit, fahrenhiet, degree fahrenheit/degrees fahrenheit, degree farenheit/degrees farenheit, degree of fahrenheit/degrees of fahrenheit, fahrenheit degree, deg fahrenheit, deg f, degree f/degrees f, f degree, ° f, º f, ° fahrenheit, ℉ | F = 5/9 + 459.67
kelvin/kelvin, kelvins, degree kelvin/degrees kelvin, deg k, degree k/degrees k, ° k | K = 1
°R/°R, rankine, degree rankine/degrees rankine = 5/9
[data 0 0 0 0 1 0]
@bit = 1
@byte = 8
byte | B = 8
kilobit | kbit, Kbit = 1000
kilobyte | kB, KB, kb, Kb = 8000
megabyte | MB, mb = 8000000
gigabyte, gig | GB, gb, Gb = 8000000000
terabyte | TB, tb, Tb = 8000000000000
petabyte | PB, pb = 8000000000000000
megabit | Mb, Mbit, mbit = 1000000
gigabit | Gbit, gbit = 1000000000
kibibyte | KiB, kib = 8192
mebibyte | MiB, mib = 8388608
gibibyte | GiB, gib = 8589934592
tebibyte | TiB, tib = 8796093022208
pebibyte | PiB = 9007199254740992
kibibit | Kibit = 1024
mebibit | Mibit = 1048576
gibibit | Gibit = 1073741824
nibble = 4
[data rate 0 0 -1 0 1 0]
bit per second/bits per second | bps = 1
kilobit per second/kilobits per second | kbps, Kbps = 1000
megabit per second/megabits per second | Mbps, mbps = 1000000
gigabit per second/gigabits per second | Gbps, gbps = 1000000000
kilobyte per second/kilobytes per second | kBps, KBps = 8000
megabyte per second/megabytes per second | MBps = 8000000
gigabyte per second/gigabytes per second | GBps = 8000000000
[speed 1 0 -1 0 0 0]
mile per hour/miles per hour, miles an hour | mph, MPH = 0.44704
kilometre per hour/kilometres per hour, kilometer per hour/kilometers per hour, kilometers an hour, kilometres an hour, kph, kmh, kmph, km per h, kms per hour | km/h = 5/18
metre per second/metres per second, meter per second/meters per second | mps = 1
foot per second/feet per second | fps = 0.3048
knot, nautical mile per hour/nautical miles per hour | kn, kt, kts = 463/900
speed of light/speeds of light = 299792458
[energy 2 1 -2 0 0 0]
@joule | J = 1
kilojoule, kj = 1000
small calorie, gram calorie | cal = 4.184
kilocalorie, food calorie, large calorie, dietary calorie, calorie, kcals, Cal = 4184
kilocalorie | kcal = 4184
@watt hour, watt-hour | Wh = 3600
kilowatt hour, kilowatt-hour, kwh, kilowatthour | kWh = 3600000
British thermal unit, btu, btus = 1055.05585262
therm = 105505585.262
@electronvolt, electron volt | eV = 1.602176634e-19
erg = 0.0000001
foot-pound, foot pound, ft lb, ft lbs, ft-lb, ft-lbs, foot pound force = 0.3048*0.45359237*9.80665
pound-foot/pound-feet, pound foot/pound feet, lb ft, lb-ft, lbft, lbf ft, lbs ft = 0.3048*0.45359237*9.80665
newton metre, newton-metre, newton meter, newton-meter | Nm, N m, N·m = 1
ton of TNT/tons of TNT = 4184000000
[power 2 1 -3 0 0 0]
@watt | W = 1
kilowatt, kw = 1000
horsepower/horsepower, mechanical horsepower, hp, bhp = 550*0.3048*0.45359237*9.80665
metric horsepower/metric horsepower, PS, ps = 735.49875
[pressure -1 1 -2 0 0 0]
@pascal | Pa = 1
hectopascal, hpa = 100
kilopascal, kpa = 1000
@bar = 100000
millibar, mbar, mbars = 100
standard atmosphere, atmosphere, atm, atms = 101325
psi/psi, pound per square inch/pounds per square inch, pounds per sq inch = 0.45359237*9.80665/0.00064516
millimetre of mercury/millimetres of mercury, millimeter of mercury/millimeters of mercury, mm hg, mmhg = 133.322387415
inch of mercury/inches of mercury, inhg, in hg = 3386.388640341
torr/torr = 101325/760
[angle 0 0 0 0 0 1]
degree, deg, degs, angular degree, ° , º = 1
radian | rad, rads = ~180/3.14159265358979323846264338327950288419717
milliradian | mrad = ~0.180/3.14159265358979323846264338327950288419717
gradian, gon, grad = 0.9
turn, revolution, full circle, rev, revs = 360
right angle = 90
arcminute, arc minute, minute of arc/minutes of arc = 1/60
arcsecond, arc second, second of arc/seconds of arc = 1/3600
[force 1 1 -2 0 0 0]
@newton | N = 1
pound-force/pounds-force, pound force/pounds force, pounds of force, lbf = 4.4482216152605
kilogram-force/kilograms-force, kilogram force/kilograms force, kgf, kilopond = 9.80665
dyne = 0.00001
[frequency 0 0 -1 0 0 0]
@hertz/hertz | Hz = 1
kilohertz/kilohertz, khz = 1000
megahertz/megahertz, mhz = 1000000
gigahertz/gigahertz, ghz = 1000000000
rpm/rpm, revolution per minute/revolutions per minute = 1/60
[fuel economy -2 0 0 0 0 0]
mile per US gallon/miles per US gallon, mpg us, us mpg, american mpg = 1609.344/0.003785411784
mile per imperial gallon/miles per imperial gallon, mpg uk, uk mpg, imperial mpg, mpg imperial, british mpg = 1609.344/0.00454609
kilometre per litre/kilometres per litre, kilometer per liter/kilometers per liter, kmpl, kpl = 1000000
[fuel consumption 2 0 0 0 0 0]
litre per 100 km/litres per 100 km, liter per 100 km/liters per 100 km, l per 100 km, litre per 100 kilometre/litres per 100 kilometres, liter per 100 kilometer/liters per 100 kilometers, litres per hundred kilometres, liters per hundred kilometers, litres per hundred km, l per 100, litres per 100 | l/100 km, L/100 km = 0.00000001
"""

# Names that mean one unit in America and another elsewhere: names = US, Britain and Ireland, elsewhere.
BY_REGION = """
gallon, gal = US gallon, imperial gallon, imperial gallon
quart, qt = US quart, imperial quart, imperial quart
pint, pt = US pint, imperial pint, imperial pint
cup, cupful = US cup, metric cup, metric cup
gill = US gill, imperial gill, imperial gill
fluid ounce, fl oz, floz, fluid oz, fl ounce, liquid ounce, oz fl = US fluid ounce, imperial fluid ounce, imperial fluid ounce
tablespoon, tbsp, tbs, tblsp, tablespoonful = US tablespoon, metric tablespoon, metric tablespoon
teaspoon, tsp, teaspoonful = US teaspoon, metric teaspoon, metric teaspoon
ton = US ton, long ton, tonne
hundredweight/hundredweight, cwt = US hundredweight, imperial hundredweight, imperial hundredweight
mpg, mile per gallon/miles per gallon, miles to the gallon, miles a gallon = mile per US gallon, mile per imperial gallon, mile per imperial gallon
"""

# What the same letters may mean besides; tried in this order where what they are converted to says so.
ALSO = """
oz = fluid ounce
ozs = fluid ounce
ounce = fluid ounce
c = cup
m = minute
pound = pound-force
lb = pound-force
lbs = pound-force
degree = °C, °F
deg = °C, °F
° = °C, °F
º = °C, °F
mb = millibar, megabit
k = kelvin
dram = US fluid ounce
min = arcminute
foot-pound = pound-foot
"""

# Where something is to be put "in metric", and in the units of America and Britain.
METRIC = {
    "inch": "centimetre", "foot": "metre", "yard": "metre", "mile": "kilometre", "nautical mile": "kilometre",
    "fathom": "metre", "furlong": "metre", "hand": "centimetre", "thou": "millimetre", "rod": "metre",
    "league": "kilometre", "ounce": "gram", "pound": "kilogram", "stone": "kilogram", "grain": "milligram",
    "dram": "gram", "troy ounce": "gram", "US ton": "tonne", "long ton": "tonne", "US hundredweight": "kilogram",
    "imperial hundredweight": "kilogram", "stick of butter": "gram", "acre": "hectare", "square foot": "square metre",
    "square inch": "square centimetre", "square mile": "square kilometre", "square yard": "square metre",
    "cubic foot": "cubic metre", "cubic inch": "cubic centimetre", "cubic yard": "cubic metre",
    "US gallon": "litre", "imperial gallon": "litre", "US quart": "litre", "imperial quart": "litre",
    "US pint": "millilitre", "imperial pint": "millilitre", "US cup": "millilitre", "imperial cup": "millilitre",
    "metric cup": "millilitre", "US fluid ounce": "millilitre", "imperial fluid ounce": "millilitre",
    "US tablespoon": "millilitre", "US teaspoon": "millilitre", "metric tablespoon": "millilitre",
    "metric teaspoon": "millilitre", "Australian tablespoon": "millilitre", "barrel of oil": "litre",
    "US bushel": "litre", "°F": "°C", "°R": "kelvin", "mile per hour": "kilometre per hour",
    "foot per second": "metre per second", "knot": "kilometre per hour", "psi": "bar", "inch of mercury": "hectopascal",
    "British thermal unit": "kilojoule", "foot-pound": "joule", "pound-foot": "newton metre",
    "horsepower": "kilowatt", "pound-force": "newton", "mile per US gallon": "litre per 100 km",
    "mile per imperial gallon": "litre per 100 km",
}  # fmt: skip
CUSTOMARY = {
    "kilometre": "mile", "metre": "foot", "centimetre": "inch", "millimetre": "inch", "kilogram": "pound",
    "gram": "ounce", "tonne": "ton", "litre": "gallon", "millilitre": "fluid ounce", "hectare": "acre",
    "square metre": "square foot", "square centimetre": "square inch", "square kilometre": "square mile",
    "cubic metre": "cubic foot", "cubic centimetre": "cubic inch", "°C": "°F", "kelvin": "°F",
    "kilometre per hour": "mile per hour", "metre per second": "mile per hour", "bar": "psi", "kilopascal": "psi",
    "kilowatt": "horsepower", "newton": "pound-force", "newton metre": "pound-foot", "litre per 100 km": "mpg",
    "kilojoule": "British thermal unit",
}  # fmt: skip

# Grams in a millilitre, as kitchens measure: spooned and levelled where it can be packed.
DENSITIES = """
water = 1
milk = 1.03
buttermilk = 1.03
cream, double cream, heavy cream, whipping cream = 1
yoghurt, yogurt = 1.03
butter, margarine = 0.96
oil, olive oil, vegetable oil, sunflower oil = 0.92
honey = 1.42
syrup, maple syrup = 1.33
flour, plain flour, all purpose flour, all-purpose flour, white flour, wheat flour = 0.53
bread flour = 0.55
wholemeal flour, whole wheat flour = 0.51
sugar, white sugar, granulated sugar, caster sugar = 0.85
brown sugar = 0.93
icing sugar, powdered sugar, confectioners sugar = 0.51
cocoa, cocoa powder = 0.42
cornflour, cornstarch, corn starch = 0.54
rice, uncooked rice = 0.79
oats, rolled oats, porridge oats = 0.38
salt, table salt = 1.22
baking soda, bicarbonate of soda = 0.93
baking powder = 0.81
ground almonds, almond flour = 0.41
"""
