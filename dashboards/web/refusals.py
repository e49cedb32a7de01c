"""What a desk has refused, in the words of the page. Desks speak English, for they also answer the API; pure."""

import re

from dashboards.web.texts import Texts
from qingquan.errors import QingquanError, StoreUnavailable

__all__ = ["refusal_words"]

_CHINESE: tuple[tuple[str, str], ...] = (
    (r"a drill needs the name of whoever holds it", "发起演练须填写姓名"),
    (r"a drill is under way at works (.+) already", r"工程 \1 正在演练"),
    (r"a drill is under way at every works drawn in county (.+)", "抽到的工程都正在演练"),
    (r"share = (.+) %: allowed: above 0, at most (.+)", r"抽取比例 \1% 无效：应大于 0，不超过 \2%"),
    (r"post (.+); allowed: (.+)", r"没有这个岗位：\1"),
    (r"a (.+) post is named by (.+) digits of the division code", r"该岗位的区划代码应为 \2 位数字"),
    (r"a person needs a name and a phone or a WeCom id", "须填写姓名，以及电话或企业微信账号"),
    (r"a township station, and no other post, names its township", "乡镇水管站须填写乡镇，其他岗位不填"),
    (r"a plan needs people and 1 to (.+) days", r"排班须选择人员，天数 1 至 \1"),
    (r"point (.+) of works (.+) is under maintenance already", r"工程 \2 的测点 \1 已在检修"),
    (r"a note needs the name of its author, and something to say", "备注须填写姓名和内容"),
    (r"incident (.+) is closed", r"事件 \1 已关闭"),
    (r"the event still lasts: its shape is not known yet", "突变尚未结束，形态还不能确定"),
    (r"disinfection was not OK during the event: it cannot be called benign", "突变期间消毒不正常，不能存为已知工况"),
    (r"the point has a pattern of the name (.+)", r"该测点已有名为 \1 的已知工况"),
    (
        r"too few readings are stored before or during the event to know its shape",
        "突变前后留存的数据太少，形态不能确定",
    ),
    (r"a shift ends after it begins", "班次的结束应晚于开始"),
    (r"a swap needs two persons and an end after its beginning", "替班须为两个人，且小时数大于 0"),
    (r"a silence lasts longer than nothing and at most (.+) h", r"静默时长应大于 0，最长 \1 小时"),
    (r"a silence needs a county, an author and a comment", "静默须填写县区、姓名和说明"),
    (r"an incident of (.+) with cause (.+) is open already", r"\1 的同类事件尚未解决"),
    (r"incident (.+) is resolved: it cannot be acknowledged any more", r"事件 \1 已解决，不必再确认"),
    (r"incident (.+) is (.+): only data show that it is over", r"事件 \1 尚未解决：只有数据合格才算结束"),
    (r"cause (.+); allowed: (.+)", "关闭严重事件须选择原因"),
    (r"works (.+) in county (.+)", r"台账中没有工程 \1（\2）"),
    (r"works in county (.+)", r"台账中没有 \1 的工程"),
    (r"(incident|person|silence|event) (\d+)", r"找不到编号 \2 的记录"),
)


def refusal_words(error: QingquanError, t: Texts) -> str:
    """The reason for a notice; in the desk's own words where there are no others."""
    if isinstance(error, StoreUnavailable):
        return t("store.lost_never")
    said = str(error)
    if t.language != "zh":
        return said
    for pattern, words in _CHINESE:
        if match := re.fullmatch(pattern, said):
            return match.expand(words)
    return said
