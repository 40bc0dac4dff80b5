// The control file numbers versions, keeps them, and notes who changed what.

import Bytes
import Foundation
import GRDB
import Testing

@testable import Store

@Suite("The control file")
struct ControlTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open(
        identity: DirectoryIdentity? = testIdentity, key: UInt8 = 5
    ) throws(StoreError) -> ControlStore {
        try ControlStore(
            directory: directory.path, identity: identity, hashKey: [UInt8](repeating: key, count: 16),
            now: 77)
    }

    private func note(_ action: String, _ subject: String = "x") -> AuditNote {
        AuditNote(at: 5, actor: "admin@example.org", action: action, subject: subject, old: nil, new: "{}")
    }

    @Test("a directory keeps its identity and its secret, and each start raises the epoch")
    func epochs() throws {
        let first = try open().directory
        #expect(
            first
                == DirectoryRecord(
                    identity: testIdentity, hashKey: [UInt8](repeating: 5, count: 16), createdAt: 77, epoch: 1
                ))
        let second = try open(identity: nil, key: 9).directory
        #expect(second.hashKey == first.hashKey)
        #expect(second.epoch == 2)
        #expect(try open().directory.epoch == 3)
    }

    @Test("a start as another directory is refused and raises nothing; so is one that was never made")
    func otherIdentity() throws {
        let never = storeError { () throws(StoreError) in _ = try open(identity: nil) }
        guard case .foreignFile(.control, _, _) = never else {
            Issue.record("\(String(describing: never))")
            return
        }
        _ = try open()
        var other = testIdentity
        other.shardCount = 16
        let error = storeError { () throws(StoreError) in _ = try open(identity: other) }
        guard case .foreignFile(.control, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try open().directory.epoch == 2)
    }

    @Test("rule versions are numbered over all rules, rules by their id")
    func rules() throws {
        let store = try open()
        let drafts = ["openrouter", "huggingface", "openrouter"].map {
            RuleDraft(
                kind: "byok", ruleID: "rule_\($0)", body: "{\"markup_value\":\"0.05\"}", effectiveAt: 10)
        }
        let added = try store.addRules(drafts, drafts.map { note("rule.create", $0.ruleID) })
        #expect(added.map(\.version) == [1, 2, 3])
        #expect(added.map(\.ruleNumber) == [1, 2, 1])
        #expect(added[2].createdBy == "admin@example.org")
        var later = drafts[1]
        later.effectiveUntil = 99
        later.isActive = false
        let fourth = try store.addRule(later, note("rule.update", later.ruleID))
        #expect(fourth.version == 4 && fourth.ruleNumber == 2)
        #expect(try store.rules() == added + [fourth])
        #expect(try store.rules(id: "rule_openrouter").map(\.version) == [1, 3])
        #expect(try store.rules(id: "rule_huggingface").map(\.isActive) == [true, false])
        #expect(try store.audit().count == 4)
    }

    @Test("a catalogue is staged once, and one version at most is in use")
    func catalogues() throws {
        let store = try open()
        #expect(try store.activeCatalogue() == nil)
        let first = try store.addCatalogue(
            digest: "aa", source: "litellm", text: "{\"a\":1}", note("catalogue.import"))
        let second = try store.addCatalogue(
            digest: "bb", source: "litellm", text: "{\"b\":1}", note("catalogue.import"))
        #expect(
            try store.addCatalogue(digest: "aa", source: "again", text: "{\"a\":1}", note("catalogue.import"))
                == first)
        #expect([first.number, second.number] == [1, 2])
        #expect(try store.activateCatalogue(1, note("catalogue.approve")))
        #expect(try store.activateCatalogue(2, note("catalogue.approve")))
        #expect(try !store.activateCatalogue(3, note("catalogue.approve")))
        let active = try #require(try store.activeCatalogue())
        #expect(active.number == 2 && active.approvedBy == "admin@example.org" && active.text == "{\"b\":1}")
        #expect(try store.catalogues().map(\.isActive) == [false, true])
        #expect(try store.catalogue(1)?.text == "{\"a\":1}")
        #expect(try store.catalogue(9) == nil)
    }

    @Test("going back to a version is another activation, and each is kept with who and when")
    func activations() throws {
        let store = try open()
        #expect(try store.catalogueActivations().isEmpty)
        for digest in ["aa", "bb"] {
            _ = try store.addCatalogue(
                digest: digest, source: "litellm", text: "{}", report: "{\"entries\":3}",
                note("catalogue.import"))
        }
        for number in [1, 2, 1] as [UInt32] {
            var approval = note("catalogue.approve", "\(number)")
            approval.at = Int64(number) * 10
            approval.actor = "person-\(number)"
            #expect(try store.activateCatalogue(number, approval))
        }
        #expect(try !store.activateCatalogue(7, note("catalogue.approve")))
        let kept = try open(identity: nil).catalogueActivations()
        #expect(kept.map(\.number) == [1, 2, 1])
        #expect(kept.map(\.at) == [10, 20, 10])
        #expect(kept.map(\.actor) == ["person-1", "person-2", "person-1"])
        #expect(try store.catalogue(2)?.report == "{\"entries\":3}")
        #expect(try store.catalogue(2)?.importedBy == "admin@example.org")
        #expect(try store.catalogues().map(\.report) == ["", ""])
        #expect(try store.activeCatalogue()?.number == 1)
    }

    @Test("a file of the first version of this program keeps its catalogue, and when it came into force")
    func olderSchema() throws {
        _ = try open()
        let queue = try DatabaseQueue(path: StoreFile.control.path(in: directory.path))
        try queue.write { database in
            try database.execute(
                sql: """
                    DROP TABLE catalogue_activations;
                    ALTER TABLE catalogue_versions DROP COLUMN imported_by;
                    ALTER TABLE catalogue_versions DROP COLUMN report;
                    INSERT INTO catalogue_versions VALUES (1, 'aa', 'starter', '{}', 44, 'tollgate', 1);
                    INSERT INTO catalogue_versions VALUES (2, 'bb', 'draft', '{}', 45, NULL, 0);
                    PRAGMA user_version = 1;
                    """)
        }
        try queue.close()
        let store = try open(identity: nil)
        #expect(
            try store.catalogueActivations() == [
                CatalogueActivation(id: 1, number: 1, at: 44, actor: "tollgate")
            ])
        #expect(try store.catalogues().map(\.importedBy) == ["tollgate", "tollgate"])
        #expect(try store.activeCatalogue()?.report == "{}")
    }

    @Test("settings are set, replaced, listed and removed")
    func settings() throws {
        let store = try open()
        try store.set("limit/a", to: "1")
        try store.set("limit/a", to: "2", note("setting", "limit/a"))
        try store.set("limit/b", to: "3")
        try store.set("other", to: "4")
        #expect(try store.setting("limit/a") == "2")
        #expect(try store.settings(prefix: "limit/") == ["limit/a": "2", "limit/b": "3"])
        try store.set("limit/a", to: nil)
        #expect(try store.setting("limit/a") == nil)
        #expect(try store.settings().count == 2)
        #expect(try open().setting("other") == "4")
    }

    @Test("the audit lists newest first, by subject and by page, and cannot be edited")
    func audit() throws {
        let store = try open()
        for index in 1...9 { try store.add(note("act\(index)", index % 2 == 0 ? "even" : "odd")) }
        #expect(try store.audit(subject: "even").map(\.action) == ["act8", "act6", "act4", "act2"])
        let page = try store.audit(limit: 3)
        #expect(page.map(\.action) == ["act9", "act8", "act7"])
        #expect(try store.audit(before: page.last?.id, limit: 2).map(\.action) == ["act6", "act5"])
        let queue = try DatabaseQueue(path: StoreFile.control.path(in: directory.path))
        for sql in ["DELETE FROM audit", "UPDATE audit SET actor = 'nobody'"] {
            #expect(throws: DatabaseError.self) { try queue.write { try $0.execute(sql: sql) } }
        }
    }

    @Test("what breaks a constraint is rejected and changes nothing")
    func constraint() throws {
        let store = try open()
        let error = StoreError(
            DatabaseError(resultCode: .SQLITE_CONSTRAINT_UNIQUE, message: "twice"), file: .control,
            operation: "adding")
        #expect(!error.isFatal)
        #expect("\(error)".contains("twice"))
        #expect(try store.rules().isEmpty)
    }
}
