"""Names and places of the simulated county. Townships are real; villages, works and people are made up."""

__all__ = ["COUNTY_CODE", "COUNTY_OUTLINE", "FIRST_VILLAGE", "SURNAMES", "TOWNSHIPS", "VILLAGE_HEADS", "VILLAGE_TAILS"]

COUNTY_CODE = "520425"  # GB/T 2260: 紫云苗族布依族自治县

# Rough outline, (longitude, latitude) in CGCS2000 degrees: good enough to keep marks inside the county on a map.
COUNTY_OUTLINE: tuple[tuple[float, float], ...] = (
    (105.93, 25.62), (105.95, 25.74), (105.94, 25.86), (105.98, 25.97), (106.06, 26.02), (106.14, 25.98),
    (106.22, 25.93), (106.26, 25.84), (106.36, 25.78), (106.45, 25.70), (106.47, 25.58), (106.42, 25.48),
    (106.33, 25.42), (106.22, 25.38), (106.12, 25.41), (106.05, 25.49), (105.97, 25.53),
)  # fmt: skip

# Township, longitude, latitude of its middle, share of the county's works.
TOWNSHIPS: tuple[tuple[str, float, float, float], ...] = (
    ("宗地镇", 106.33, 25.58, 0.11),
    ("猴场镇", 106.20, 25.54, 0.10),
    ("猫营镇", 106.06, 25.94, 0.10),
    ("板当镇", 106.19, 25.83, 0.10),
    ("大营镇", 106.31, 25.70, 0.09),
    ("格凸河镇", 106.16, 25.68, 0.09),
    ("坝羊镇", 106.13, 25.88, 0.07),
    ("火花镇", 106.00, 25.66, 0.07),
    ("四大寨乡", 106.10, 25.55, 0.07),
    ("白石岩乡", 106.01, 25.80, 0.06),
    ("松山街道", 106.08, 25.76, 0.05),
    ("五峰街道", 106.10, 25.74, 0.05),
    ("云岭街道", 106.06, 25.73, 0.04),
)

FIRST_VILLAGE = "打狼"

# A village name is head + tail; pairs of the same character are left out. 52 x 34 pairs: enough for 1,000 works.
VILLAGE_HEADS = (
    "打坝纳克平羊摆新大小上下岩牛石水红白黄青龙马云田松竹梨桃茶高长双团中前后东西南北花金银沙板杉枫樟板桥落关鸡"
)
VILLAGE_TAILS = "狼寨坝洞坡井塘坪冲关场山河岩湾田林院饶哨联树坎厂箐垭沟溪桥屯岭口滩坳"

SURNAMES = "韦罗杨王陈吴黄李梁班岑伍龙石潘"
