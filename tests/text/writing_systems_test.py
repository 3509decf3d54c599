"""Text without blanks between words is recognised."""

import pytest

from rnn.text import writing_systems

CHINESE = "小猫看见大狗。狗不喜欢雨。我们去河边散步，看云。\n天黑了，鸟回家。\n"
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたか。\n"
THAI = "แมวตัวเล็กเห็นหมาตัวใหญ่ หมาไม่ชอบฝน\n"


@pytest.mark.parametrize("text, language", [
    (CHINESE, "Chinese"), (JAPANESE, "Japanese"), (THAI, "Thai"),
    ("ກຳລັງພັດທະນາປະເທດ", "Lao"), ("ខ្ញុំចូលចិត្តអានសៀវភៅ", "Khmer"),
    (CHINESE + "iPhone 15 Pro", "Chinese"),
    ("\n".join(CHINESE), None),  # a character per line: no pairs
    ("小猫 看见 大狗 。 狗 不 喜欢 雨 。 我们 去 河边 散步 ， 看 云 。", None),
    ("แมว ตัว เล็ก เห็น หมา ตัว ใหญ่ หมา ไม่ ชอบ ฝน", None),
    ("The sign said 小猫看见大狗狗不喜欢雨我们 in large red characters.", None),
    ("고양이가 큰 개를 봅니다. 개는 비를 좋아하지 않습니다.", None),
    ("Кошка видит собаку. " * 9, None), ("小猫看见", None), ("", None)])
def test_unsegmented_text_is_recognised(text, language):
  assert writing_systems.unsegmented(text) == language
