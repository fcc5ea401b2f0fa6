import { graphql } from '@/gen/departments';

export const DepartmentsQuery = graphql(`
  query Departments {
    tenants(first: 100) {
      nodes {
        id
        name
        quota {
          cpu
          memoryMiB
          diskGiB
        }
        used {
          cpu
          memoryMiB
          diskGiB
        }
      }
    }
    users(first: 500) {
      nodes {
        id
        name
        role
        tenant
        createdAt
      }
    }
  }
`);

export const CreateDepartmentMutation = graphql(`
  mutation CreateDepartment($name: String!, $quota: QuotaInput) {
    createTenant(name: $name, quota: $quota) {
      id
      name
    }
  }
`);

export const CreateUserMutation = graphql(`
  mutation CreateUser($input: CreateUserInput!) {
    createUser(input: $input) {
      id
      name
      password
    }
  }
`);
